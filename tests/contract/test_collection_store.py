"""What every collection store does: the double and Elasticsearch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from second_opinion.pipeline.adapters.elasticsearch import Connection, ElasticsearchCollections, IndexNames
from second_opinion.pipeline.ports import CollectionStore
from second_opinion.schemas.collection import CollectionRecord, IndexFingerprint, QueryOverrides
from second_opinion.schemas.errors import IndexMismatch, MetadataTypeConflict, ReindexRefused, UnknownCollection
from second_opinion.testing.collections import MemoryCollections, Shelf

OURS = IndexFingerprint(embedding_model="axes", embedding_revision="1", dims=4, chunker="by hand")
THEIRS = OURS.model_copy(update={"embedding_revision": "2", "dims": 8})


@dataclass
class Kept:
    """A way to get the store as processes of different settings see it; of `THEIRS`, some know `OURS` from before."""

    seen_by: Callable[[IndexFingerprint], CollectionStore]
    moving: Callable[[], CollectionStore]

    @property
    def collections(self) -> CollectionStore:
        """The store as a fresh process of our settings sees it."""
        return self.seen_by(OURS)


@pytest.fixture(params=["double", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def kept(request: pytest.FixtureRequest) -> Kept:
    """A store of either kind."""
    if request.param == "double":
        shelf = Shelf()
        return Kept(
            lambda fingerprint: MemoryCollections(fingerprint, shelf),
            lambda: MemoryCollections(THEIRS, shelf, former=[OURS]),
        )
    connection: Connection = request.getfixturevalue("elasticsearch")
    names: IndexNames = request.getfixturevalue("names")
    return Kept(
        lambda fingerprint: ElasticsearchCollections(connection, names, fingerprint),
        lambda: ElasticsearchCollections(connection, names, THEIRS, former=[OURS]),
    )


def test_an_unknown_collection_says_so(kept: Kept) -> None:
    """Nothing is known before the first document, and the error names the collection."""
    collections = kept.collections
    assert (collections.names(), collections.records()) == ([], [])
    with pytest.raises(UnknownCollection, match="'nothing'"):
        collections.get("nothing")
    with pytest.raises(UnknownCollection):
        collections.field_types("nothing")
    with pytest.raises(UnknownCollection):
        collections.delete("nothing")


def test_ensuring_twice_gives_the_same_collection(kept: Kept) -> None:
    """A collection is made once; other processes see it, and its index is the one that is written."""
    made = kept.collections.ensure("leaflets")
    assert kept.collections.ensure("leaflets") == made
    assert kept.collections.get("leaflets") == made
    assert made.writing == (made.index,)
    assert kept.collections.names() == ["leaflets"]


def test_many_processes_may_ensure_at_once(kept: Kept) -> None:
    """Eight at once all get the same collection and no error."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: kept.collections.ensure("leaflets").index, range(8)))
    assert len(set(made)) == 1
    assert kept.collections.names() == ["leaflets"]


def test_an_index_of_another_model_is_refused(kept: Kept) -> None:
    """A process with other settings can neither read nor write the collection; the sentence says what differs."""
    kept.collections.ensure("leaflets")
    other = kept.seen_by(THEIRS)
    for attempt in (other.get, other.ensure):
        with pytest.raises(IndexMismatch) as refused:
            attempt("leaflets")
        assert refused.value.hint
    assert kept.collections.get("leaflets").name == "leaflets"


def test_field_types_come_from_values(kept: Kept) -> None:
    """Text is keyword, numbers double, booleans boolean; a list has the type of its values, an empty one has none."""
    collections = kept.collections
    collections.ensure("leaflets")
    collections.register_fields("leaflets", {"lang": "en", "year": 2_020, "weight": 0.5, "draft": True})
    collections.register_fields("leaflets", {"tags": ["a", "b"], "years": [1, 2.5], "none": []})
    assert kept.collections.field_types("leaflets") == {
        "draft": "boolean",
        "lang": "keyword",
        "tags": "keyword",
        "weight": "double",
        "year": "double",
        "years": "double",
    }


@pytest.mark.parametrize("value", ["twenty", True, ["2020"], [1, "x"]])
def test_a_field_keeps_its_type(kept: Kept, value: object) -> None:
    """A value of another type is refused, by this process and by others, and the field stays as it was."""
    collections = kept.collections
    collections.ensure("leaflets")
    collections.register_fields("leaflets", {"year": 2_020})
    for process in (collections, kept.collections):
        with pytest.raises(MetadataTypeConflict, match="'year'"):
            process.register_fields("leaflets", {"year": value})  # type: ignore[dict-item]
    assert collections.field_types("leaflets") == {"year": "double"}


def test_two_processes_that_register_at_once_agree(kept: Kept) -> None:
    """Of writers that give one field two types, those of one type succeed and the others are refused."""
    kept.collections.ensure("leaflets")

    def register(number: int) -> str:
        try:
            kept.collections.register_fields("leaflets", {"field": number if number % 2 else str(number)})
        except MetadataTypeConflict:
            return "refused"
        return "double" if number % 2 else "keyword"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(register, range(16)))
    (kind,) = kept.collections.field_types("leaflets").values()
    assert set(outcomes) == {kind, "refused"}
    assert outcomes.count(kind) == outcomes.count("refused") == 8


def test_fields_have_a_limit(kept: Kept) -> None:
    """Five hundred fields fit, one more is refused with what to do."""
    collections = kept.collections
    collections.ensure("leaflets")
    collections.register_fields("leaflets", {f"f{number}": number for number in range(500)})
    with pytest.raises(MetadataTypeConflict):
        collections.register_fields("leaflets", {"one-more": 1})
    assert len(collections.field_types("leaflets")) == 500


def test_overrides_are_kept(kept: Kept) -> None:
    """A collection's own choices are seen by other processes; a floor of 0 is a choice like any other."""
    kept.collections.ensure("leaflets")
    kept.collections.override("leaflets", QueryOverrides(floor=0.0, top_k=3))
    assert kept.collections.get("leaflets").overrides == QueryOverrides(floor=0.0, top_k=3)


def test_a_calibration_is_kept_beside_the_choices(kept: Kept) -> None:
    """Neither overwrites the other, and None takes the calibration away."""
    kept.collections.ensure("leaflets")
    assert kept.collections.get("leaflets").calibration is None
    kept.collections.calibrate("leaflets", "platt-1")
    kept.collections.override("leaflets", QueryOverrides(floor=0.2))
    found = kept.collections.get("leaflets")
    assert (found.calibration, found.overrides) == ("platt-1", QueryOverrides(floor=0.2))
    kept.collections.calibrate("leaflets", "platt-1", model="near")
    both = kept.collections.calibrate("leaflets", "platt-2", model="far")
    assert kept.collections.get("leaflets") == both
    assert (both.calibration, both.calibrations) == ("platt-2", {"near": "platt-1", "far": "platt-2"})
    without = kept.collections.calibrate("leaflets", None)
    assert (without.calibration, without.calibrations) == (None, {})
    assert kept.collections.get("leaflets").overrides == QueryOverrides(floor=0.2)
    with pytest.raises(UnknownCollection):
        kept.collections.calibrate("nothing", "platt-1")


def test_choices_and_calibration_may_be_set_at_once(kept: Kept) -> None:
    """Two people change one record at the same moment: both changes are there behind it."""
    kept.collections.ensure("leaflets")
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(kept.collections.calibrate, "leaflets", "platt-1")
        other = pool.submit(kept.collections.override, "leaflets", QueryOverrides(top_k=7))
        one.result()
        other.result()
    found = kept.collections.get("leaflets")
    assert (found.calibration, found.overrides.top_k) == ("platt-1", 7)
    assert kept.collections.records() == [found]


def test_a_deleted_collection_can_be_made_anew(kept: Kept) -> None:
    """After deletion the collection is unknown and its fields are free for other types."""
    collections = kept.collections
    collections.ensure("leaflets")
    collections.register_fields("leaflets", {"year": 2_020})
    collections.delete("leaflets")
    assert collections.names() == []
    with pytest.raises(UnknownCollection):
        collections.get("leaflets")
    collections.ensure("leaflets")
    collections.register_fields("leaflets", {"year": "twenty twenty"})
    assert kept.collections.field_types("leaflets") == {"year": "keyword"}


def test_a_load_is_begun_renewed_and_ended(kept: Kept) -> None:
    """The collection is made for it; a renewal only ever lengthens it; ending it twice is ending it once."""
    begun = kept.collections.begin_load("archive", until=100.0)
    assert begun.load is not None
    assert (begun.load.until, set(begun.load.settings)) == (100.0, set(begun.writing))
    for until, expected in ((300.0, 300.0), (200.0, 300.0)):
        kept.collections.begin_load("archive", until=until)
        (record,) = kept.collections.records()
        assert record.load is not None
        assert (record.load.until, record.load.settings) == (expected, begun.load.settings)
    for _ in range(2):
        kept.collections.end_load("archive")
        assert kept.collections.get("archive").load is None
    with pytest.raises(UnknownCollection):
        kept.collections.end_load("nothing")


def test_a_process_that_knows_the_former_settings_reads_both(kept: Kept) -> None:
    """What made each index is told; a process that knows only one of them is refused."""
    made = kept.collections.ensure("leaflets")
    moving = kept.moving()
    index = moving.make_index("leaflets", 2)
    both = moving.change("leaflets", lambda record: record.model_copy(update={"writing": (made.index, index)}))
    assert moving.get("leaflets") == both
    assert moving.made_by(both) == {made.index: OURS, index: THEIRS}
    for alone in (OURS, THEIRS):
        with pytest.raises(IndexMismatch):
            kept.seen_by(alone).get("leaflets")


def test_another_index_has_the_metadata_fields(kept: Kept) -> None:
    """Those that are known, and those that come while both are written."""
    collections = kept.moving()
    made = kept.collections.ensure("leaflets")
    collections.register_fields("leaflets", {"year": 2_020})
    index = collections.make_index("leaflets", 2)
    collections.change("leaflets", lambda record: record.model_copy(update={"writing": (made.index, index)}))
    collections.register_fields("leaflets", {"lang": "en"})
    collections.change("leaflets", lambda record: record.model_copy(update={"index": index, "writing": (index,)}))
    assert collections.field_types("leaflets") == {"lang": "keyword", "year": "double"}


def test_a_change_may_refuse_and_then_nothing_changed(kept: Kept) -> None:
    """What the change raises reaches the caller."""
    before = kept.collections.ensure("leaflets")

    def refuse(_: object) -> CollectionRecord:
        raise ReindexRefused("not now")

    with pytest.raises(ReindexRefused, match="not now"):
        kept.collections.change("leaflets", refuse)
    assert kept.collections.get("leaflets") == before


def test_of_changes_one_after_another_each_counts_on(kept: Kept) -> None:
    """What a change is given is what the one before it left, in whichever process."""
    kept.collections.ensure("leaflets")
    for _ in range(3):
        kept.collections.change(
            "leaflets", lambda record: record.model_copy(update={"generations": record.generations + 1})
        )
    assert kept.collections.get("leaflets").generations == 4


def test_a_retired_index_is_dropped_once(kept: Kept) -> None:
    """It leaves the record; to drop it again, or an index that is not retired, does nothing."""
    collections = kept.moving()
    made = kept.collections.ensure("leaflets")
    index = collections.make_index("leaflets", 2)
    collections.change(
        "leaflets",
        lambda record: record.model_copy(update={"index": index, "writing": (index,), "retired": {made.index: 1.0}}),
    )
    collections.drop_index("leaflets", index)
    for _ in range(2):
        collections.drop_index("leaflets", made.index)
    assert collections.get("leaflets").retired == {}
    assert collections.made_by(collections.get("leaflets")) == {index: THEIRS}
