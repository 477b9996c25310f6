"""The nouns: frozen models of every message and record, and the one error tree."""
