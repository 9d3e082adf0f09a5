"""Airbyte's protocol: what a connector is told on its command line, and what it answers with.

Nothing is known of Singer.
"""
