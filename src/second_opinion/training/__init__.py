"""Training of the bundled reranker: slices, mined candidates, the network, and a run that can stop at any step.

Needs the `training` extra (torch, bm25s); nothing else in the package imports it.
"""
