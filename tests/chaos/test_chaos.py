"""A short run of `make chaos`, with most of its faults; and that each safeguard, taken away, makes it red."""

import os
from pathlib import Path
from typing import Final

import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from tests.chaos import faults
from tests.chaos.controls import CONTROLS
from tests.chaos.controls import SCALE as CONTROL_SCALE
from tests.chaos.proof import Scale, prove

pytestmark = pytest.mark.timeout(600)

SEED: Final = int(os.environ.get("TALLY_TEST_SEED", "20261124"))
SHORT: Final = Scale(
    events=20_000,
    kills=12,
    events_per_s=1_000,
    outage_s=4.0,
    freeze_s=8.0,
    pause_s=3.0,
    every=(
        faults.scale_workers,
        faults.poison,
        faults.kill_at_failpoint,
        faults.restart_broker,
        faults.lose_answer,
        faults.database_outage,
        faults.freeze_sink,
        faults.rolling_restart,
    ),
)


@pytest.mark.alone
def test_whatever_is_killed_nothing_is_lost_and_nothing_doubled(
    tmp_path: Path, own_kafka: KafkaServer, own_clickhouse: ClickHouseServer
) -> None:
    outcome = prove(tmp_path, own_kafka, own_clickhouse, "short", SEED, SHORT, tell=print)
    print(outcome.figures())
    assert outcome.verdict.wrong == {}, outcome.verdict.explained()
    assert outcome.kills >= SHORT.kills
    assert outcome.verdict.accepted >= SHORT.events
    assert outcome.verdict.sessions > 100
    assert outcome.verdict.dead_letters > 8


@pytest.mark.parametrize("name", CONTROLS)
def test_a_safeguard_taken_away_is_seen(
    tmp_path: Path, own_kafka: KafkaServer, own_clickhouse: ClickHouseServer, name: str
) -> None:
    control = CONTROLS[name]
    database = f"control_{list(CONTROLS).index(name)}"
    outcome = prove(tmp_path, own_kafka, own_clickhouse, database, SEED, CONTROL_SCALE, sabotage=control.sabotage)
    assert control.must_be_wrong in outcome.verdict.wrong, outcome.verdict.explained()
