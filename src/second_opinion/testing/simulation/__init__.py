"""A simulation of the whole system on the doubles: one seed, one order of everything, and all that can go wrong.

    from second_opinion.testing.simulation import simulate

    report = simulate(7)
    assert not report.violations

The code under simulation is the real one: acceptance, extraction, indexing, commit, reconciling, sweeping, retrieval,
reranking, rescue. It needs the package greenlet.
"""

from second_opinion.testing.simulation.run import Report, simulate

__all__ = ["Report", "simulate"]
