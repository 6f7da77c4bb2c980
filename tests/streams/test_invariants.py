"""What must never happen, made to happen: a worker notices within one commit, and ends without it."""

import asyncio
import os
import random
import sys
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from streams.events import chain
from streams.events.deduplicate import Deduplicated, deduplicate
from streams.runtime.exits import Exit
from streams.sessions.state import SessionStateCodec
from tests.streams.raw import RAW as RAW_CODEC
from tests.streams.raw import key_of, raw_event
from tests.streams.universe import START_MS
from tests.streams.world import RAW, Chunk, Life, Log


class Ended(BaseException):
    """The process has ended itself, with this code."""


@pytest.fixture(autouse=True)
def _exits_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        cause = sys.exc_info()[1]
        raise cause if isinstance(cause, Ended) else Ended(code)

    async def no_time(_seconds: float) -> None:
        """Nobody reads the counter."""

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr("streams.runtime.epochs.asyncio.sleep", no_time)


def life() -> Life:
    """A worker before six events of one visitor."""
    log = Log()
    for number in range(6):
        event = raw_event(number, anonymous_id="ann", timestamp=START_MS + 200 * number, user_id=None)
        log.append(RAW, 0, key_of(event), RAW_CODEC.encode(event))
    return Life(log, random.Random(1), 10**9)


def said_within_one_commit(worker: Life, *chunks: Chunk) -> str:
    """What is said when the worker takes these chunks and commits, which it must not get to."""

    async def take() -> None:
        for chunk in chunks:
            await worker.epochs.add(chunk)
        await worker.epochs.commit()

    committed = dict(worker.log.committed)
    with capture_logs() as logs, pytest.raises(Ended) as ended:
        asyncio.run(take())
    assert ended.value.args == (Exit.INVARIANT_BROKEN,)
    assert worker.log.committed == committed
    assert worker.log.records["sessions-changelog", 0] == []
    return next(str(entry["why"]) for entry in logs if "why" in entry)


def test_records_that_were_stepped_over_are_noticed() -> None:
    worker = life()
    records = worker.log.records[RAW, 0]
    assert "contiguous" in said_within_one_commit(worker, Chunk(RAW, 0, records[1:2]))
    worker = life()
    assert "contiguous" in said_within_one_commit(worker, Chunk(RAW, 0, records[:2]), Chunk(RAW, 0, records[3:]))


def test_records_that_are_read_again_are_no_gap() -> None:
    worker = life()
    records = worker.log.records[RAW, 0]

    async def take() -> None:
        for chunk in (Chunk(RAW, 0, records[:4]), Chunk(RAW, 0, records[2:])):
            await worker.epochs.add(chunk)
            await worker.epochs.commit()

    asyncio.run(take())


def test_enriched_events_out_of_order_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def reversed_by_mistake(*args: Any) -> Deduplicated:
        kept = deduplicate(*args)
        return replace(kept, frame=kept.frame.reverse())

    monkeypatch.setattr(chain, "deduplicate", reversed_by_mistake)
    worker = life()
    assert "in_order" in said_within_one_commit(worker, Chunk(RAW, 0, worker.log.records[RAW, 0]))


def test_states_before_their_outputs_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = life()

    async def no_flush() -> dict[Any, int]:
        return {}

    monkeypatch.setattr(worker.outputs, "flush", no_flush)
    assert "outputs are not durable" in said_within_one_commit(worker, Chunk(RAW, 0, worker.log.records[RAW, 0]))


def test_a_state_of_records_that_nobody_read_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = SessionStateCodec.encode

    def ahead(codec: SessionStateCodec, state: Any) -> bytes:
        state.applied += 1
        return encode(codec, state)

    monkeypatch.setattr(SessionStateCodec, "encode", ahead)
    worker = life()
    assert "not_ahead" in said_within_one_commit(worker, Chunk(RAW, 0, worker.log.records[RAW, 0][:3]))
