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
from tests.streams.oracle import Deduplicator, all_sessions, claim_of, decode_record, identities_of
from tests.streams.raw import RAW as RAW_CODEC
from tests.streams.raw import key_of, raw_events, records
from tests.streams.test_sessionize_law import FIELDS, live, within_the_bound
from tests.streams.universe import CONVERSIONS, DEDUP, PARTITIONS, RULES, Row, partition_of
from tests.streams.world import RAW, SECRETS, Killed, Log, Worker, decoded

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
        patch.setattr("streams.epochs.log.exception", lambda *args, **kwargs: None)
        yield


def live_through(log: Log, seed: int) -> int:
    """Workers one after the other until one has read everything and nothing is left; the number of lives."""
    chance = random.Random(seed)

    async def lives() -> int:
        for number in range(1, LIVES_MAX):
            operations = chance.randint(0, 40) if number < LIVES_MAX - 2 and chance.random() < 0.85 else 10**9
            if await Worker(log, chance, operations).run() and operations > 40:
                return number
        raise AssertionError("the last life was killed too")

    return asyncio.run(lives())


def raw_log(pairs: list[tuple[bytes | None, bytes | None]]) -> Log:
    log = Log()
    for key, value in pairs:
        log.append(RAW, partition_of(key or b""), key, value)
    return log


def expected(log: Log) -> tuple[dict[tuple[int, int], Row], dict[tuple[int, int], DeadReason]]:
    """The rows kept and the records that are dead, by place."""
    kept: dict[tuple[int, int], Row] = {}
    dead: dict[tuple[int, int], DeadReason] = {}
    for partition in range(PARTITIONS):
        deduplicator = Deduplicator(DEDUP)
        for record in log.records[RAW, partition]:
            row = decode_record(record.key, record.value, RAW_CODEC)
            if isinstance(row, DeadReason):
                dead[partition, record.offset] = row
                continue
            row |= {"key": record.key, "source_partition": partition, "source_offset": record.offset}
            if deduplicator.take(row) == "keep":
                kept[partition, record.offset] = row
    return kept, dead


def past_the_watermark(log: Log) -> list[Row]:
    """enriched_events as a sink takes them: what is at or below the highest source offset seen is a repeat."""
    reached = dict.fromkeys(range(PARTITIONS), -1)
    found = []
    for partition, key, row in decoded(log, "enriched_events"):
        assert partition == row["source_partition"]
        if row["source_offset"] > reached[partition]:
            reached[partition] = row["source_offset"]
            found.append(row | {"key": key})
    return found


@settings(max_examples=80)
@given(pairs_of_a_log, st.integers(0, 2**32))
def test_every_table_is_that_of_one_undisturbed_fold(pairs: list[tuple[bytes | None, bytes | None]], seed: int) -> None:
    log = raw_log(pairs)
    live_through(log, seed)
    kept, dead = expected(log)
    rows = past_the_watermark(log)

    assert [(row["source_partition"], row["source_offset"]) for row in rows] == sorted(kept)
    for row in rows:
        raw = kept[row["source_partition"], row["source_offset"]]
        assert all(row[name] == raw[name] for name in ("event_id", "message_id", "timestamp", "anonymous_id", "key"))
    # What sessions know and enriched events do not: this universe has no campaigns.
    unsaid: Row = dict.fromkeys(("utm_source", "utm_medium", "utm_campaign"))
    assert_sessions(log, [row | unsaid | {"client_session_id": _sent_session(kept, row)} for row in rows])
    assert _identities(log) == identities_of([claim for row in rows if (claim := claim_of(row))], SECRETS)
    assert _dead(log) == dead


def assert_sessions(log: Log, rows: list[Row]) -> None:
    found = live([row for _, _, row in decoded(log, "sessions")])
    assert sum(row["event_count"] for row in found.values()) == len(rows)
    timely = all_sessions(within_the_bound(rows), RULES, CONVERSIONS)
    assert {name: found.get(name) for name in timely} == {
        name: {field: row[field] for field in FIELDS} for name, row in timely.items()
    }


def _sent_session(kept: dict[tuple[int, int], Row], row: Row) -> Any:
    return kept[row["source_partition"], row["source_offset"]]["client_session_id"]


def _identities(log: Log) -> dict[tuple[str, str, str], Row]:
    found: dict[tuple[str, str, str], Row] = {}
    for _, _, row in decoded(log, "identities"):
        name = row["tenant_id"], row["anonymous_id"], row["user_id"]
        if name not in found or row["linked_at"] >= found[name]["linked_at"]:
            found[name] = row
    return found


def _dead(log: Log) -> dict[tuple[int, int], str]:
    letters = {row["dead_letter_id"]: row for _, _, row in decoded(log, "dead_letters")}
    places = {(row["source_partition"], row["source_offset"]): row["reason"] for row in letters.values()}
    assert len(places) == len(letters)
    return places
