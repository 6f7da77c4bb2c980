"""A worker that starts while Kafka is away says so and ends with a code of its own."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError
from typer.testing import CliRunner

from docker.local.process import free_port
from schemas.apply import topics
from schemas.apply.findings import UnreachableError
from schemas.settings import Settings
from streams import __main__ as program
from streams.runtime.exits import Exit


class _Worker:
    """Kafka went away after the topics were looked at."""

    async def start(self) -> None:
        raise KafkaConnectionError("unable to bootstrap")


def test_kafka_away_when_the_topics_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_REACH_S", 0.2)
    monkeypatch.setenv("TALLY_KAFKA_BOOTSTRAP", f"127.0.0.1:{free_port()}")
    ended = CliRunner().invoke(program.app, ["run"])
    assert ended.exit_code == Exit.UNREACHABLE
    assert "cannot be reached" in ended.output


def test_kafka_away_when_the_group_is_joined() -> None:
    with pytest.raises(UnreachableError, match="cannot be reached"):
        asyncio.run(program._start(_Worker(), Settings.model_validate({})))
