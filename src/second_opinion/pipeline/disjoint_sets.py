"""Disjoint sets: what hangs together, directly or through others."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Node = TypeVar("Node", bound=Hashable)


class DisjointSets(Generic[Node]):
    """Sets of nodes that grow together; a node that was never named is a set of its own."""

    def __init__(self) -> None:
        self._parents: dict[Node, Node] = {}

    def root(self, node: Node) -> Node:
        """Return the node that stands for the set of `node`: the same for all in it."""
        parent = self._parents.setdefault(node, node)
        while parent != self._parents[parent]:
            self._parents[parent] = self._parents[self._parents[parent]]
            parent = self._parents[parent]
        self._parents[node] = parent
        return parent

    def join(self, one: Node, other: Node) -> None:
        """Make one set of two; the root of `other` stands for it."""
        self._parents[self.root(one)] = self.root(other)
