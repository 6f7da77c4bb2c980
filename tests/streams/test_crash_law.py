"""Killed at any operation, any number of times, and started again: the tables are those of one undisturbed fold."""

import asyncio
import os
import random
import sys
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from schemas.outcomes import DeadReason
from streams.sessions.state import SessionStateCodec
from tests.effort import examples
from tests.streams.failing_worker import decode_unguarded
from tests.streams.oracle import accounted, all_sessions, claims_of, identities_of, within_the_bound
from tests.streams.raw import RAW as RAW_CODEC
from tests.streams.raw import key_of, raw_event, raw_events, records
from tests.streams.readers import FIELDS, dangling, live, newest_identities, past_the_watermark
from tests.streams.universe import CONVERSIONS, DEDUP, RULES, Place, Row, partition_of
from tests.streams.world import RAW, SECRETS, Killed, Life, Log, decoded

LIVES_MAX: Final = 60

pairs_of_a_log = st.lists(
    st.one_of(raw_events().map(lambda event: (key_of(event), RAW_CODEC.encode(event))), records()),
    min_size=1,
    max_size=25,
)


@pytest.fixture(autouse=True, scope="module")
def _exits_are_kills() -> Any:
    """What a kill ends is the life, not the test; whatever else would end the process fails it."""

    def end(code: int) -> None:
        cause = sys.exc_info()[1]
        if isinstance(cause, Killed):
            raise cause
        raise AssertionError(f"the process ended with {code}") from cause

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "_exit", end)
        patch.setattr("streams.runtime.epochs.log.exception", lambda *args, **kwargs: None)
        yield


def live_through(log: Log, seed: int) -> int:
    """Workers one after the other until one has read everything and nothing is left; the number of lives."""
    chance = random.Random(seed)

    async def lives() -> int:
        for number in range(1, LIVES_MAX):
            operations = chance.randint(0, 40) if number < LIVES_MAX - 2 and chance.random() < 0.85 else 10**9
            if await Life(log, chance, operations).run() and operations > 40:
                return number
        raise AssertionError("the last life was killed too")

    return asyncio.run(lives())


def raw_log(pairs: list[tuple[bytes | None, bytes | None]]) -> Log:
    log = Log()
    for key, value in pairs:
        log.append(RAW, partition_of(key or b""), key, value)
    return log


def expected(log: Log) -> tuple[dict[Place, Row], dict[Place, DeadReason]]:
    """The rows kept and the records that are dead, by place."""
    return accounted(
        ((partition, record.offset, record.key, record.value) for partition, record in log.of(RAW)), DEDUP, RAW_CODEC
    )


def taken(log: Log) -> list[Row]:
    """enriched_events as a sink takes them."""
    return past_the_watermark(
        (partition, row | {"key": key}) for partition, key, row in decoded(log, "enriched_events")
    )


def assert_law(log: Log) -> None:
    """What the topics hold is what the records of raw_events come to, each taken once."""
    kept, dead = expected(log)
    rows = taken(log)
    assert [(row["source_partition"], row["source_offset"]) for row in rows] == sorted(kept)
    for row in rows:
        raw = kept[row["source_partition"], row["source_offset"]]
        assert all(row[name] == raw[name] for name in ("event_id", "message_id", "timestamp", "anonymous_id", "key"))
    # What sessions know and enriched events do not: this universe has no campaigns.
    unsaid: Row = dict.fromkeys(("utm_source", "utm_medium", "utm_campaign"))
    assert_sessions(log, [row | unsaid | {"client_session_id": _sent_session(kept, row)} for row in rows])
    assert dangling([(row["tenant_id"], row["session_id"]) for row in rows], _emitted(log)) == []
    identities = newest_identities(row for _, _, row in decoded(log, "identities"))
    assert identities == identities_of([claim for row in rows for claim in claims_of(row)], SECRETS)
    assert _dead(log) == dead


@settings(max_examples=examples(80))
@given(pairs_of_a_log, st.integers(0, 2**32))
def test_every_table_is_that_of_one_undisturbed_fold(pairs: list[tuple[bytes | None, bytes | None]], seed: int) -> None:
    log = raw_log(pairs)
    live_through(log, seed)
    assert_law(log)


VISITORS: Final = ("ann", "bob", "cat")
LIVED: Final = range(12)


def broken() -> list[int]:
    """The seeds of which the law does not hold, of events that are all sound and of few visitors."""
    events = [raw_event(number, anonymous_id=VISITORS[number % 3]) for number in range(40)]
    found = []
    for seed in LIVED:
        log = raw_log([(key_of(event), RAW_CODEC.encode(event)) for event in events])
        live_through(log, seed)
        try:
            assert_law(log)
        except AssertionError:
            found.append(seed)
    return found


def test_without_the_guard_of_offsets_the_law_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken() == []
    monkeypatch.setattr(SessionStateCodec, "decode", staticmethod(decode_unguarded))
    assert len(broken()) >= len(LIVED) // 4


def assert_sessions(log: Log, rows: list[Row]) -> None:
    found = live(_emitted(log))
    assert sum(row["event_count"] for row in found.values()) == len(rows)
    timely = all_sessions(within_the_bound(rows, RULES), RULES, CONVERSIONS)
    assert {name: found.get(name) for name in timely} == {
        name: {field: row[field] for field in FIELDS} for name, row in timely.items()
    }


def _emitted(log: Log) -> list[Row]:
    return [row for _, _, row in decoded(log, "sessions")]


def _sent_session(kept: dict[tuple[int, int], Row], row: Row) -> Any:
    return kept[row["source_partition"], row["source_offset"]]["client_session_id"]


def _dead(log: Log) -> dict[tuple[int, int], str]:
    by_id = {row["dead_letter_id"]: row for _, _, row in decoded(log, "dead_letters")}
    places = {(row["source_partition"], row["source_offset"]): row["reason"] for row in by_id.values()}
    assert len(places) == len(by_id)
    return places
