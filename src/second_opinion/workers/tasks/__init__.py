"""Thin tasks, one module per role."""
