"""Each safeguard, taken away, makes the proof red: by what that safeguard is for, and by nothing else."""

from pathlib import Path

import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from tests.chaos.controls import CONTROLS, SCALE
from tests.chaos.proof import TEST_SEED, prove
from tests.chaos.verdict import KINDS


@pytest.mark.parametrize("name", CONTROLS)
def test_a_safeguard_taken_away_is_seen(
    tmp_path: Path, kafka_server: KafkaServer, clickhouse_server: ClickHouseServer, unique_name: str, name: str
) -> None:
    control = CONTROLS[name]
    outcome = prove(
        tmp_path, kafka_server, clickhouse_server, unique_name, TEST_SEED, SCALE,
        sabotage=control.sabotage, meddle=control.meddle,
    )  # fmt: skip
    print(outcome.figures())
    assert not control.surprises(outcome.verdict.wrong), outcome.verdict.explained()


def test_total_ruin_passes_for_no_control() -> None:
    ruin = dict.fromkeys([*KINDS, "ledger"], 100_000)
    for name, control in CONTROLS.items():
        assert control.surprises(ruin), name
        assert control.surprises(dict.fromkeys(control.wrong, 100000)), name
        assert control.surprises({}), name
        exactly = {kind: most for kind, (_, most) in control.wrong.items()}
        assert not control.surprises(exactly), name
        assert control.surprises(exactly | {"unknown": 2}), name


def test_every_kind_of_verdict_has_a_control() -> None:
    """But `events`, of which each column is planted in test_verdict.py."""
    assert {kind for control in CONTROLS.values() for kind in control.wrong} == {*KINDS, "ledger"} - {"events"}
