"""A short run of `make chaos`, with most of its faults."""

from pathlib import Path
from typing import Final

import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from tests.chaos import faults
from tests.chaos.proof import TEST_SEED, Scale, prove

SCALE: Final = Scale(
    events=15_000, kills=10, events_per_s=300, outage_s=4.0, freeze_s=8.0, pause_s=1.5, hangs=1, every=faults.SHORT
)


@pytest.mark.alone
@pytest.mark.timeout(600)
def test_whatever_is_killed_nothing_is_lost_and_nothing_doubled(
    tmp_path: Path, own_kafka: KafkaServer, own_clickhouse: ClickHouseServer
) -> None:
    outcome = prove(tmp_path, own_kafka, own_clickhouse, "short", TEST_SEED, SCALE, tell=print)
    print(outcome.figures())
    assert outcome.verdict.wrong == {}, outcome.verdict.explained()
    assert outcome.kills >= SCALE.kills
    assert outcome.verdict.accepted >= SCALE.events
    assert outcome.verdict.sessions > 100
    assert outcome.verdict.dead_letters > 8
    assert all(outcome.fired[name] for name in faults.SHORT)
    # The answer that was lost after its INSERT: the sink asked the table, and found its rows.
    assert outcome.counted["batches_found_in_table"] > 0
    # A worker that died between its states and its commit: the next one skipped what the states had already.
    assert outcome.counted["skipped_by_guard"] > 0
