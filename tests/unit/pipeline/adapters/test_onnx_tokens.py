from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_tokens import MAX_CHARACTERS, ModelTokenizer
from second_opinion.schemas.errors import ModelUnusable

PATH = model_folder("bundled", "embedder") / "tokenizer.json"
WINDOW = 48
TOKENIZER = ModelTokenizer.read(PATH, max_tokens=WINDOW, max_query_tokens=16)


def own_pair(query: str, passage: str) -> tuple[list[int], list[int]]:
    """What the Rust tokenizer itself makes of a pair when it is told to cut the passage."""
    rust = Tokenizer.from_file(str(PATH))
    rust.no_padding()
    rust.enable_truncation(WINDOW, strategy="only_second")
    encoded = rust.encode(query, passage)
    return encoded.ids, encoded.type_ids


@pytest.mark.parametrize("passage", ["", "short", "Ibuprofen for children: " + "five to ten milligrams " * 40])
def test_a_pair_is_what_the_tokenizer_itself_would_make(passage: str) -> None:
    """Joining the query's tokens to the passage's gives the same input as encoding and truncating them as a pair."""
    query = "ibuprofen dosage for children"
    found = TOKENIZER.pair(TOKENIZER.query(query), passage)
    assert (found.ids[0].tolist(), found.types[0].tolist()) == own_pair(query, passage)


@given(st.text(max_size=400), st.text(max_size=400))
def test_any_text_makes_an_input_that_fits(query: str, passage: str) -> None:
    """Whatever the texts hold, the input fits the window, keeps the frame, and says whether something was cut."""
    found = TOKENIZER.pair(TOKENIZER.query(query), passage)
    assert found.ids.shape == found.types.shape
    assert found.ids.shape[1] <= WINDOW
    room = WINDOW - 3 - len(TOKENIZER.query(query))
    assert found.truncated == (TOKENIZER.count(passage) > room)


@pytest.mark.parametrize(
    "text",
    ["\ud800 alone", "\x00\x00", "مرحبا بالعالم", "👩‍👩‍👧‍👦" * 50, "x" * 100_000, " " * 50_000, "word " * 1_000_000],
)
def test_odd_texts_are_harmless(text: str) -> None:
    """Lone surrogates, NUL, right-to-left text, emoji and megabytes of one word are read like any other text."""
    assert TOKENIZER.single(text).ids.shape[1] <= WINDOW
    assert TOKENIZER.count(text) <= MAX_CHARACTERS


def test_a_long_query_is_cut_and_leaves_room_for_the_passage() -> None:
    """A query takes at most its own share of the window."""
    assert len(TOKENIZER.query("very " * 500)) == 16
    assert not TOKENIZER.pair(TOKENIZER.query("very " * 500), "a passage of a few words").truncated


def test_threads_share_one_tokenizer() -> None:
    """Eight threads get what one gets."""
    texts = [f"passage number {n} about dosage " * (n % 20) for n in range(200)]
    alone = [TOKENIZER.single(text).ids.tolist() for text in texts]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda text: TOKENIZER.single(text).ids.tolist(), texts)) == alone


def test_a_broken_tokenizer_file_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The error names the file."""
    path = tmp_path_factory.mktemp("broken") / "tokenizer.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ModelUnusable, match="broken"):
        ModelTokenizer.read(path, max_tokens=WINDOW, max_query_tokens=16)


@given(st.text(max_size=400), st.integers(min_value=0, max_value=200))
def test_a_beginning_has_the_first_tokens(text: str, tokens: int) -> None:
    """What is left of a text has as many tokens as asked for at most, and they are the text's own first ones."""
    kept = TOKENIZER.beginning(text, tokens)
    assert text.encode("utf-8", "replace").startswith(kept.encode("utf-8", "replace"))
    assert TOKENIZER.tokens(kept) == TOKENIZER.tokens(text)[:tokens]


def test_a_short_text_is_its_own_beginning() -> None:
    """What has no more tokens than asked for stays to the last character, trailing spaces included."""
    assert TOKENIZER.beginning("five to ten  ", 3) == "five to ten  "
    assert TOKENIZER.beginning("five to ten", 2) == "five to"
