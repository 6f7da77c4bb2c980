"""Workers as processes on a real Kafka: every record accounted for, whatever happens to them."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from docker.local.kafka import KafkaServer
from schemas.codec import Codec
from streams.app import rules
from tests.bench.traffic import Traffic
from tests.streams.oracle import all_sessions, claim_of, identities_of
from tests.streams.raw import (
    IDS,
    RAW,
    key_of,
    other_schema,
    raw_event,
    truncated,
    unknown_schema,
    with_invalid_utf8,
)
from tests.streams.readers import FIELDS, live, newest_identities
from tests.streams.rig import PARTITIONS, StreamsRig
from tests.streams.universe import Row, made_uuid

SEED: Final = int(os.environ.get("TALLY_TEST_SEED", "20261124"))


@pytest.fixture
def rig(tmp_path: Path, kafka_server: KafkaServer, topic_prefix: str) -> Iterator[StreamsRig]:
    with StreamsRig(tmp_path, kafka_server, topic_prefix) as rig:
        yield rig


def traffic(count: int, **fields: Any) -> list[tuple[str, bytes]]:
    """Keys and values of a shop's visitors, some of them twice, over about an hour."""
    source = Traffic(seed=SEED, visitors=fields.pop("visitors", 400), ms_per_event=3_600_000 / count, **fields)
    return [(key, RAW.encode(record)) for key, record in source.records(count)]


T0: Final = 1_795_000_000_000


def later(pairs: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """New events of the same visitors five minutes later."""
    found = []
    for number, (key, value) in enumerate(pairs):
        event = RAW.decode(value)
        moments = {name: event[name] + timedelta(minutes=5) for name in ("timestamp", "received_at")}
        ids = {"event_id": made_uuid(f"later {number}"), "message_id": made_uuid(f"later message {number}")}
        found.append((key, RAW.encode(event | moments | ids)))
    return found


def bad_records() -> list[tuple[bytes | None, bytes | None, str]]:
    """Key, value and reason."""
    event = raw_event(7)
    key, value = key_of(event), RAW.encode(event)
    wrong = {"event_id": "no uuid"}, {"message_id": made_uuid(1).upper()}, {"project_id": ""}, {"timestamp": -1}
    return [
        (key, truncated(value), "not_avro"),
        (key, b"", "not_avro"),
        (key, None, "not_avro"),
        (key, b"x" * 900_000, "not_avro"),
        (key, unknown_schema(value), "schema_id_unknown"),
        (key, other_schema(value), "schema_mismatch"),
        (key, with_invalid_utf8(value), "invalid_utf8"),
        (None, value, "field_invalid"),
        (b"another/project/v/ann", value, "field_invalid"),
        (key[:-1] + b"\xff", value, "field_invalid"),
        *((key, RAW.encode(event | fields), "field_invalid") for fields in wrong),
    ]


def kept_rows(rig: StreamsRig) -> list[Row]:
    """The enriched events past the watermark, which must be the rows that the oracles keep, each once, in order."""
    kept, _ = rig.expected()
    rows = rig.past_the_watermark()
    assert [(row["source_partition"], row["source_offset"]) for row in rows] == sorted(kept)
    for row in rows:
        raw = kept[row["source_partition"], row["source_offset"]]
        assert {name: row[name] for name in raw if name in row} == {name: raw[name] for name in raw if name in row}
        campaign = json.loads(raw["context"]).get("campaign", {})
        row |= {f"utm_{name}": campaign.get(member) for name, member in _CAMPAIGN.items()}
        row["client_session_id"] = raw["client_session_id"]
    return rows


_CAMPAIGN: Final = {"source": "source", "medium": "medium", "campaign": "name"}


def sessions_differ(rig: StreamsRig, rows: list[Row]) -> list[str]:
    """The sessions that are not the fold of the rows."""
    expected = all_sessions(rows, rules(rig.settings).sessions, {})
    found = live(rig.rows("sessions"))
    wanted = {name: {field: row[field] for field in FIELDS} for name, row in expected.items()}
    return [name[1] for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]


def identities_differ(rig: StreamsRig, rows: list[Row]) -> list[tuple[str, str, str]]:
    """The identities that are not those of the rows' claims."""
    expected = identities_of(
        [claim for row in rows if (claim := claim_of(row))], {"pin", "password", "token", "secret"}
    )
    found = newest_identities(rig.rows("identities"))
    return [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]


def assert_accounted(rig: StreamsRig) -> int:
    """Nothing lost, nothing counted twice; how many enriched events stand in the topic more than once."""
    rows = kept_rows(rig)
    assert sessions_differ(rig, rows) == []
    assert identities_differ(rig, rows) == []
    return len(rig.records("enriched_events")) - len(rows)


def test_killed_at_random_moments_no_event_is_lost_and_none_counted_twice(rig: StreamsRig) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    events = traffic(60_000)
    worker = rig.worker()
    for start in range(0, 50_000, 10_000):
        load = rig.load(events[start : start + 10_000], seconds=2)
        reached = rig.total(rig.committed())
        worker.start()
        rig.wait_until(lambda reached=reached: rig.total(rig.committed()) > reached, "the worker works")  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.8))  # where in its work the kill meets it is the dice's
        worker.kill()
        load.join()
    rig.produce(events[50_000:])
    worker.start()
    rig.settle()
    repeats = assert_accounted(rig)
    print(f"{repeats} repeats")
    assert worker.terminate() == 0


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "unguarded"])
def test_without_the_guard_of_offsets_a_killed_worker_counts_twice(rig: StreamsRig, guarded: bool) -> None:
    # The negative control: what the other tests assert of sessions fails when the guard is taken away.
    rig.produce(traffic(3_000, duplicate_share=0.0))
    worker = rig.worker("tests.streams.failing_worker")
    worker.extra_environ = {"KILL_BEFORE_COMMIT": "1"}
    worker.start_to_be_killed()
    rig.wait_until(lambda: worker.exit_code == -signal.SIGKILL, "killed with durable states and no commit")
    assert rig.total(rig.committed()) < 3_000
    worker.extra_environ = {} if guarded else {"UNGUARDED": "1"}
    worker.start()
    rig.settle()
    rows = kept_rows(rig)
    assert len(rows) == 3_000
    assert bool(sessions_differ(rig, rows)) != guarded


def test_bad_records_are_dead_letters_alone_and_all_others_are_enriched_once(rig: StreamsRig) -> None:
    good = traffic(4_000)
    bad = bad_records()
    chance = random.Random(SEED)
    for start in range(0, len(good), 1_000):
        rig.produce(good[start : start + 1_000])
        for key, value, _ in bad[start // 1_000 :: 4]:
            rig.produce([(key, value)], partition=chance.randrange(PARTITIONS))
    # A key's partition is where its events are, whatever a partitioner would say.
    elsewhere = [raw_event(number, anonymous_id="elsewhere", received_at=T0, timestamp=T0) for number in range(40)]
    for partition in range(PARTITIONS):
        mine = [event | {"anonymous_id": f"elsewhere {partition}"} for event in elsewhere[partition::PARTITIONS]]
        rig.produce([(key_of(event), RAW.encode(event)) for event in mine], partition)
    worker = rig.worker()
    worker.start()
    rig.settle()
    assert_accounted(rig)
    _, dead = rig.expected()
    stored = {(record.partition, record.offset): record for record in rig.records("raw_events")}
    codec = Codec("dead_letters", IDS)
    letters = [codec.decode(record.value or b"") for record in rig.records("dead_letters")]
    assert len(letters) == len(dead) == len(bad)
    for letter in letters:
        place = letter["source_partition"], letter["source_offset"]
        assert letter["reason"] == dead[place]
        assert letter["payload"] == (stored[place].value or b"")
        assert letter["source_topic"] == rig.settings.topic("raw_events")
    assert sorted(reason.value for reason in dead.values()) == sorted(reason for _, _, reason in bad)

    # A graceful stop, and a worker that knows only what the topics say goes on where the other was.
    assert worker.terminate() == 0
    rig.produce([*good[-50:], *later(good[-200:])])
    successor = rig.worker()
    successor.start()
    rig.settle()
    before, repeats = len(good), assert_accounted(rig)
    assert repeats == 0
    assert successor.metric('tally_streams_records_total{outcome="drop",reason="duplicate",topic="raw_events"}') >= 50
    assert successor.metric('tally_streams_restored{table="sessions"}') > 0
    assert before < len(rig.records("raw_events"))
    assert successor.terminate() == 0


def test_rolling_restarts_of_two_workers_lose_nothing(rig: StreamsRig) -> None:
    load = rig.load(traffic(40_000), seconds=16)
    workers = [rig.worker(), rig.worker()]
    for worker in workers:
        worker.start()
    for worker in (*workers, workers[0]):
        assert worker.terminate() == 0
        worker.start()
    load.join()
    rig.settle()
    repeats = assert_accounted(rig)
    print(f"{repeats} repeats")
    assert [worker.terminate() for worker in workers] == [0, 0]
