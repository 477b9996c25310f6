"""The stages between the nouns, the ports they need, and the adapters behind those ports."""
