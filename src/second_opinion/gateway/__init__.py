"""The side of the callers: Python client and command line."""
