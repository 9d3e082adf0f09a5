"""Tests by the part of the package that they are about; what they share is in `support`."""
