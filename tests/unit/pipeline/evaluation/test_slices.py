from hypothesis import given
from hypothesis import strategies as st

from second_opinion.pipeline.evaluation.datasets import Dataset, Passage, Question
from second_opinion.pipeline.evaluation.slices import MEASURE_ONLY, Slice, slice_dataset, untrained_questions

LINKS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=60)


def dataset(links: list[tuple[int, int]], splits: list[str], name: str = "made_up") -> Dataset:
    passages = {f"d{n}": Passage(f"d{n}", "", f"passage {n}") for n in range(41)}
    questions = {f"q{n}": Question(f"q{n}", f"question {n}", answerable=True, split=splits[n]) for n in range(41)}
    grades: dict[str, dict[str, int]] = {}
    for question, document in links:
        grades.setdefault(f"q{question}", {})[f"d{document}"] = 1
    return Dataset(name, passages, questions, grades)


@given(LINKS, st.lists(st.sampled_from(["train", "dev", "test"]), min_size=41, max_size=41))
def test_a_query_and_its_documents_never_cross_slices(links: list[tuple[int, int]], splits: list[str]) -> None:
    """A grade ties both of its ends to one slice, whatever the splits."""
    made = dataset(links, splits)
    slices = slice_dataset(made)
    for question, grades in made.grades.items():
        assert {slices.passages[one] for one in grades} == {slices.questions[question]}


@given(LINKS, st.lists(st.sampled_from(["train", "dev", "test"]), min_size=41, max_size=41))
def test_only_the_train_split_may_train_or_calibrate(links: list[tuple[int, int]], splits: list[str]) -> None:
    """A query of any other split only measures, and so do the documents that it shares."""
    made = dataset(links, splits)
    slices = slice_dataset(made)
    others = [one for one in made.questions.values() if one.split != "train"]
    assert all(slices.questions[one.id] is Slice.MEASURE for one in others)


def test_a_question_without_an_answer_stays_with_the_passage_it_was_written_about() -> None:
    """The source of an unanswerable question counts as its document."""
    made = dataset([(0, 0)], ["dev"] + ["train"] * 40)
    asked = Question("q1", "what is not said there?", answerable=False, split="train", source="d0")
    slices = slice_dataset(Dataset(made.name, made.passages, {**made.questions, "q1": asked}, made.grades))
    assert slices.questions["q1"] is Slice.MEASURE


def test_about_one_document_in_ten_calibrates_and_always_the_same_ones() -> None:
    """The draw is by hash: near its share over many documents, and equal in every call."""
    passages = {f"d{n}": Passage(f"d{n}", "", "text") for n in range(4_000)}
    slices = slice_dataset(Dataset("many", passages, {}))
    kept = [one for one, part in slices.passages.items() if part is Slice.CALIBRATE]
    expected, deviation = 0.1 * len(passages), (0.09 * len(passages)) ** 0.5
    assert abs(len(kept) - expected) < 5 * deviation
    assert slice_dataset(Dataset("many", passages, {})).passages == slices.passages


def test_data_sets_that_may_only_measure_never_train() -> None:
    """Their train splits are no exception."""
    for name in MEASURE_ONLY:
        slices = slice_dataset(dataset([(0, 0)], ["train"] * 41, name))
        assert set(slices.questions.values()) | set(slices.passages.values()) == {Slice.MEASURE}


@given(LINKS, st.lists(st.sampled_from(["train", "dev"]), min_size=41, max_size=41))
def test_what_a_model_learnt_from_is_left_out(links: list[tuple[int, int]], splits: list[str]) -> None:
    """No question of the train slice stays; a set that took no part in training stays whole."""
    made = dataset(links, splits)
    slices = slice_dataset(made).questions
    kept = untrained_questions(made, {made.name}).questions
    assert {slices[one] for one in kept} <= {Slice.CALIBRATE, Slice.MEASURE}
    assert {one for one, part in slices.items() if part is Slice.CALIBRATE} <= kept.keys()
    assert untrained_questions(made, {"another"}) is made
