"""The checker of reads finds what it is for: each kind of damage is named, and what may happen is not called damage."""

import pytest

from tests.faults.histories import Act, Histories, Sight

DOCUMENT = 1
# Version 1 is sent at 0, version 2 at 10, deleted by 3 at 20, version 4 at 30; each is acknowledged a second later.
ACTS = ((1, False, 0.0), (2, False, 10.0), (3, True, 20.0), (4, False, 30.0))


def history(*sights: Sight) -> Histories:
    made = Histories()
    for number, deletes, begun in ACTS:
        act: Act = made.begin(DOCUMENT, number, deletes=deletes, at=begun)
        act.acknowledged = begun + 1.0
    for one in sights:
        made.saw(DOCUMENT, one)
    return made


def shown(number: int, begun: float) -> Sight:
    return Sight(begun, begun + 0.5, number)


def nothing(begun: float, seconds: float = 0.5) -> Sight:
    return Sight(begun, begun + seconds, None)


def gone(number: int, begun: float) -> Sight:
    return Sight(begun, begun + 0.5, number, deleted=True)


DAMAGES: dict[str, list[tuple[Sight, ...]]] = {
    "resurrected": [
        (shown(2, 22.0),),
        (shown(1, 35.0),),
        (shown(2, 15.0), nothing(20.2, 0.3), shown(2, 20.8)),
        (shown(2, 15.0), gone(3, 20.1), shown(2, 20.7)),
        (shown(4, 33.0), shown(1, 34.0)),
    ],
    "backward": [
        (shown(2, 12.0), shown(1, 13.0)),
        (shown(2, 12.0), shown(1, 12.6)),
        (shown(4, 31.0), gone(3, 32.0)),
    ],
    "vanished": [
        (shown(1, 5.0), nothing(6.0)),
        (shown(1, 5.0), nothing(10.5)),
        (shown(2, 12.0), nothing(13.0)),
        (shown(4, 33.0), nothing(40.0)),
    ],
    "invented": [(shown(2, 5.0),), (shown(9, 40.0),), (shown(3, 40.0),), (gone(4, 40.0),), (gone(3, 5.0),)],
}
ALLOWED: list[tuple[Sight, ...]] = [
    (nothing(0.5), shown(1, 2.0), shown(1, 11.5), shown(2, 12.0), nothing(20.5), nothing(32.0), shown(4, 33.0)),
    # Two reads at once may see either version.
    (Sight(12.0, 14.0, 1), Sight(11.9, 12.5, 2)),
    # The deletion is on its way: both are true.
    (shown(2, 20.2), nothing(20.1)),
    (shown(2, 15.0), gone(3, 20.2), shown(4, 31.5)),
    # Version 4 overtakes what the reader of the deletion looked at.
    (gone(3, 30.5), shown(4, 30.6)),
]


@pytest.mark.parametrize("sights", ALLOWED)
def test_what_may_happen_is_no_damage(sights: tuple[Sight, ...]) -> None:
    """Old or new while a change is on its way, nothing before the first commit and after a deletion."""
    assert history(*sights).check().wrong() == {}


@pytest.mark.parametrize(("kind", "sights"), [(kind, one) for kind, all_of in DAMAGES.items() for one in all_of])
def test_each_damage_is_named(kind: str, sights: tuple[Sight, ...]) -> None:
    """A damage is found as what it is, once, and as nothing else."""
    assert {name: count for name, count in history(*sights).check().counts().items() if count} == {kind: 1}


def test_the_order_in_which_reads_are_noted_does_not_matter() -> None:
    """Threads note their reads as they end; they are judged as they began."""
    assert history(shown(1, 13.0), shown(2, 12.0)).check().counts()["backward"] == 1


def test_torn_reads_are_found() -> None:
    """What a single read shows that must not be is found beside the rest."""
    made = history()
    made.tear("mixed", "versions 1 and 2")
    made.tear("partial", "1 of 3 chunks")
    assert made.check().wrong() == {"mixed": ["versions 1 and 2"], "partial": ["1 of 3 chunks"]}
