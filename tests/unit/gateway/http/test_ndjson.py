"""JSON lines in, receipts out: framing, grouping and bounds."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from second_opinion.gateway.http import ndjson
from second_opinion.gateway.http.ndjson import Line, Lines, ReceiptStream, groups
from second_opinion.schemas.document import AcceptOutcome, Receipt
from second_opinion.schemas.errors import GatewayStopping

LONGEST = 1_000


@given(
    st.lists(st.sampled_from([b"", b"  ", b'{"id": "\xc3\xa9"}', b"nonsense", b"[1]", b"\xff", b"x" * 1_200])),
    st.data(),
    st.booleans(),
)
def test_lines_are_the_same_however_the_bytes_are_cut(texts: list[bytes], data: st.DataObject, ends: bool) -> None:
    """Each line has its number; empty ones are left out; what is no object, or too long, says so."""
    body = b"\n".join(texts) + (b"\n" if ends else b"")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    lines = Lines(LONGEST)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        found += lines.feed(body[start:end])
    found += lines.last()
    told = {line.number: (line.payload, line.problem.code if line.problem else None) for line in found}
    expected: dict[int, Any] = {}
    for number, text in enumerate(texts, start=1):
        if len(text) > LONGEST:
            expected[number] = ({}, "document_too_large")
        elif text.startswith(b"{"):
            expected[number] = (json.loads(text), None)
        elif text.strip():
            expected[number] = ({}, "invalid_request")
    assert told == expected


def test_a_line_without_end_is_not_held() -> None:
    """A hundred megabytes without a line break take no more room than the limit, and name their line."""
    lines = Lines(LONGEST)
    assert lines.feed(b'{"id": "a"}\n') != []
    for _ in range(100):
        assert lines.feed(b"x" * 1_000_000) == []
        assert len(lines._begun) <= LONGEST
    (line,) = lines.feed(b"\n")
    assert line.number == 2
    assert line.problem is not None
    assert "100,000,000 bytes" in line.problem.message


def test_deep_nesting_is_no_defect() -> None:
    """A line that would exhaust the stack is refused like any other nonsense."""
    (line,) = Lines(10_000_000).feed(b"[" * 1_000_000 + b"\n")
    assert line.problem is not None
    assert line.problem.code == "invalid_request"


class Wire:
    """A connection: what was sent by the caller, and what the caller has received."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.received = b""
        self.reads = asyncio.Event()
        self.reads.set()
        self.heard = asyncio.Event()
        self.taken = 0

    def say(self, *bodies: bytes, more: bool = True) -> None:
        """Send parts of a body."""
        for body in bodies:
            self.incoming.put_nowait({"type": "http.request", "body": body, "more_body": True})
        if not more:
            self.incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def receive(self) -> Message:
        """Return what comes next."""
        message = await self.incoming.get()
        self.taken += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Take a part of the answer, once the caller reads."""
        await self.reads.wait()
        self.received += message.get("body", b"")
        self.heard.set()

    @property
    def receipts(self) -> list[Receipt]:
        """What the caller has read."""
        return [Receipt.model_validate_json(line) for line in self.received.splitlines()]


async def accept(lines: Sequence[Line]) -> list[Receipt]:
    """Accept everything."""
    return [
        Receipt(collection="c", document_id=str(line.payload.get("id")), outcome=AcceptOutcome.ACCEPTED)
        for line in lines
    ]


async def until(awaited: Any) -> Any:
    """Wait for as long as it takes."""
    return await awaited


def answering(wire: Wire, **options: Any) -> "asyncio.Task[None]":
    """Answer on a wire."""
    stream = ReceiptStream(options.pop("accept", accept), longest=LONGEST, until=options.pop("until", until))
    return asyncio.create_task(stream({}, wire.receive, wire.send))


def document(number: int) -> bytes:
    """Return a line."""
    return json.dumps({"id": str(number), "text": "x" * 200}).encode() + b"\n"


async def test_receipts_come_while_the_sender_waits_for_them() -> None:
    """A sender that pauses after each line hears of it before it sends the next."""
    wire = Wire()
    task = answering(wire)
    for number in range(5):
        wire.say(document(number))
        async with asyncio.timeout(5.0):
            while len(wire.receipts) <= number:
                wire.heard.clear()
                await wire.heard.wait()
    wire.say(more=False)
    await task
    assert [one.document_id for one in wire.receipts] == ["0", "1", "2", "3", "4"]


async def test_lines_are_taken_in_together() -> None:
    """A thousand lines that come at once are taken in by the hundred, in their order."""
    wire, sizes = Wire(), []

    async def counting(lines: Sequence[Line]) -> list[Receipt]:
        sizes.append(len(lines))
        return await accept(lines)

    wire.say(b"".join(map(document, range(1_000))), more=False)
    await answering(wire, accept=counting)
    assert [int(one.document_id) for one in wire.receipts] == list(range(1_000))
    assert sizes == [100] * 10


async def test_who_does_not_read_is_not_read_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """While receipts pile up no more lines are read; once they are read it goes on to the end."""
    monkeypatch.setattr(ndjson, "SPOOL_BYTES", 20_000)
    wire = Wire()
    wire.reads.clear()
    wire.say(*[b"".join(map(document, range(start, start + 100))) for start in range(0, 10_000, 100)], more=False)
    task = answering(wire)
    await asyncio.sleep(1.0)
    stopped_at = wire.taken
    assert stopped_at < 1_000_000
    await asyncio.sleep(0.3)
    assert wire.taken == stopped_at
    wire.reads.set()
    await task
    assert len(wire.receipts) == 10_000


async def test_who_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the connection is broken off, so that nobody holds a gateway by not reading."""
    monkeypatch.setattr(ndjson, "STALL_SECONDS", 0.2)
    wire = Wire()
    wire.say(document(1))
    task = answering(wire)
    await asyncio.sleep(0.02)
    wire.reads.clear()
    done, _ = await asyncio.wait({task}, timeout=5.0)
    assert done == {task}
    assert isinstance(task.exception(), TimeoutError)


async def test_a_gateway_that_stops_tells_what_it_did_not_take() -> None:
    """What has come is taken in, then a receipt says that the stream ends here."""
    wire = Wire()
    stops = asyncio.Event()

    async def stopping(awaited: Any) -> Any:
        work = asyncio.ensure_future(awaited)
        told = asyncio.ensure_future(stops.wait())
        await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        work.cancel()
        raise GatewayStopping("the gateway is being stopped")

    wire.say(document(1), document(2))
    task = answering(wire, until=stopping)
    await asyncio.sleep(0.01)
    stops.set()
    await task
    *taken, last = wire.receipts
    assert [one.outcome for one in taken] == [AcceptOutcome.ACCEPTED] * 2
    assert last.error is not None
    assert (last.error.code, last.error.message[:7]) == ("gateway_stopping", "line 3:")


async def test_who_hangs_up_ends_it() -> None:
    """What came whole is taken in; half a line is not."""
    wire = Wire()
    task = answering(wire)
    wire.say(document(1), b'{"id": "half')
    await asyncio.sleep(0.2)
    wire.incoming.put_nowait({"type": "http.disconnect"})
    async with asyncio.timeout(5.0):
        await task
    assert [one.document_id for one in wire.receipts] == ["1"]


def test_groups_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few large lines make a group as well."""
    monkeypatch.setattr(ndjson, "BATCH_BYTES", 1_000)
    wire = Wire()
    wire.say(b"".join(map(document, range(10))), more=False)

    async def sizes() -> list[int]:
        return [sum(line.size for line in group) async for group in groups(wire.receive, Lines(LONGEST))]

    found = asyncio.run(sizes())
    assert max(found) <= 1_000
    assert len(found) == 3
