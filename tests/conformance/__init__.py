"""Holds the sandbox, and what the tap reads, to the vendor's OpenAPI: `make conformance`."""
