"""The HTTP gateway: everything a caller does, as resources."""
