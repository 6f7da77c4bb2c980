"""Workers as processes on a real Kafka: every record accounted for, whatever happens to them."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from docker.local.kafka import KafkaServer
from streams.app import rules
from tests.bench.traffic import Traffic
from tests.streams.oracle import all_sessions, claim_of, identities_of
from tests.streams.raw import RAW
from tests.streams.rig import Rig
from tests.streams.test_sessionize_law import FIELDS, live
from tests.streams.universe import Row

SEED: Final = int(os.environ.get("TALLY_TEST_SEED", "20261124"))


@pytest.fixture
def rig(tmp_path: Path, kafka_server: KafkaServer, topic_prefix: str) -> Iterator[Rig]:
    with Rig(tmp_path, kafka_server, topic_prefix) as rig:
        yield rig


def traffic(count: int, **fields: Any) -> list[tuple[str, bytes]]:
    """Keys and values of a shop's visitors, some of them twice, over about an hour."""
    source = Traffic(seed=SEED, visitors=fields.pop("visitors", 400), ms_per_event=3_600_000 / count, **fields)
    return [(key, RAW.encode(record)) for key, record in source.records(count)]


def kept_rows(rig: Rig) -> list[Row]:
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


def sessions_differ(rig: Rig, rows: list[Row]) -> list[str]:
    """The sessions that are not the fold of the rows."""
    expected = all_sessions(rows, rules(rig.settings).sessions, {})
    found = live(rig.rows("sessions"))
    wanted = {name: {field: row[field] for field in FIELDS} for name, row in expected.items()}
    return [name[1] for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]


def identities_differ(rig: Rig, rows: list[Row]) -> list[tuple[str, str, str]]:
    """The identities that are not those of the rows' claims."""
    expected = identities_of(
        [claim for row in rows if (claim := claim_of(row))], {"pin", "password", "token", "secret"}
    )
    found: dict[tuple[str, str, str], Row] = {}
    for row in rig.rows("identities"):
        name = row["tenant_id"], row["anonymous_id"], row["user_id"]
        if name not in found or row["linked_at"] >= found[name]["linked_at"]:
            found[name] = {field: row[field] for field in ("tenant_id", *_IDENTITY)}
    return [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]


_IDENTITY: Final = (
    "anonymous_id", "user_id", "linked_at", "link_source", "traits", "is_deleted", "first_linked_at",
)  # fmt: skip


def assert_accounted(rig: Rig) -> int:
    """Nothing lost, nothing counted twice; how many enriched events stand in the topic more than once."""
    rows = kept_rows(rig)
    assert sessions_differ(rig, rows) == []
    assert identities_differ(rig, rows) == []
    return len(rig.records("enriched_events")) - len(rows)


def test_killed_at_random_moments_no_event_is_lost_and_none_counted_twice(rig: Rig) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    load = rig.load(traffic(60_000), seconds=14)
    worker = rig.worker()
    for _ in range(5):
        worker.start()
        rig.sleep(chance.uniform(0.1, 1.2))
        worker.kill()
    worker.start()
    load.join()
    rig.settle()
    repeats = assert_accounted(rig)
    print(f"{repeats} repeats")
    assert worker.terminate() == 0
