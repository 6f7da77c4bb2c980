"""Whether a worker's states may be written: what it asks the coordinator, and which answers count."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.types import TP

from streams.runtime.app import App
from streams.runtime.chunks import ChunkConsumerThread
from tests.streams.runtime.faust_app import faust_app

RAW = "t_raw_events"


class Coordinator:
    """Knows the worker by a generation."""

    def __init__(self) -> None:
        self.generation = 4


class Kafka:
    """The consumer of aiokafka, as far as commits go."""

    def __init__(self) -> None:
        self._coordinator = Coordinator()
        self.committed: dict[TopicPartition, OffsetAndMetadata] = {}
        self.refuses: Exception | None = None
        self.before: Any = None
        self.during: Any = None

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        if self.before is not None:
            await self.before()
        if self.refuses is not None:
            raise self.refuses
        self.committed |= offsets
        if self.during is not None:
            self.during()


class Thread:
    """The consumer's thread, which is this one."""

    def __init__(self, kafka: Kafka) -> None:
        self._consumer = kafka

    def _ensure_consumer(self) -> Kafka:
        return self._consumer

    async def call_thread(self, function: Any, *args: Any) -> Any:
        return await function(*args)


async def _nothing(*args: Any, **kwargs: Any) -> None:
    """Done."""


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
async def app(kafka: Kafka) -> App:
    app = faust_app()
    app.consumer_generation_id = 4
    app.consumer = app.transport.create_consumer(
        _nothing, on_partitions_revoked=_nothing, on_partitions_assigned=_nothing
    )
    app.consumer._thread.thread_loop.close()  # the thread never runs, and would close it at its end
    app.consumer._thread = Thread(kafka)
    app.consumer._committed_offset[TP(RAW, 1)] = 70
    return app


async def test_the_coordinator_is_asked_by_a_commit_that_moves_nothing(app: App, kafka: Kafka) -> None:
    assert await app.still_owns({(RAW, 1): 90})
    assert kafka.committed == {TopicPartition(RAW, 1): OffsetAndMetadata(70, "until 90")}
    assert app.consumer.committed_offset(TP(RAW, 1)) == 70


@pytest.mark.parametrize("error", [CommitFailedError("rebalanced"), IllegalStateError("not assigned")])
async def test_a_worker_that_the_coordinator_refuses_owns_nothing(app: App, kafka: Kafka, error: Exception) -> None:
    kafka.refuses = error
    assert not await app.still_owns({(RAW, 1): 90})


async def test_who_knows_that_he_is_no_member_does_not_ask(app: App, kafka: Kafka) -> None:
    kafka._coordinator.generation = -1
    assert not await app.still_owns({(RAW, 1): 90})
    assert kafka.committed == {}


async def test_an_answer_to_a_later_generation_is_none(app: App, kafka: Kafka) -> None:
    def join_again() -> None:
        kafka._coordinator.generation = 5

    kafka.during = join_again
    assert not await app.still_owns({(RAW, 1): 90})
    assert len(kafka.committed) == 1


async def test_who_has_nothing_in_hand_asks_for_what_it_owns(
    app: App, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.consumer, "assignment", lambda: {TP(RAW, 1), TP(app.changelogs[RAW], 1)})
    assert await app.still_owns({})
    assert list(kafka.committed) == [TopicPartition(RAW, 1)]
    monkeypatch.setattr(app.consumer, "assignment", set)
    assert not await app.still_owns({})


async def test_a_commit_that_is_under_way_is_waited_for_and_not_taken_back(app: App, kafka: Kafka) -> None:
    under_way: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    app.consumer._commit_fut = under_way
    asking = asyncio.create_task(app.still_owns({(RAW, 1): 90}))
    await asyncio.sleep(0)
    assert kafka.committed == {}
    app.consumer._committed_offset[TP(RAW, 1)], app.consumer._commit_fut = 80, None
    under_way.set_result(None)
    assert await asking
    assert kafka.committed == {TopicPartition(RAW, 1): OffsetAndMetadata(80, "until 90")}


@pytest.mark.parametrize("refuses", [None, CommitFailedError("rebalanced")])
async def test_a_commit_waits_until_the_coordinator_has_answered(
    app: App, kafka: Kafka, monkeypatch: pytest.MonkeyPatch, refuses: Exception | None
) -> None:
    committed: list[TP] = []

    async def force_commit(*args: Any, **kwargs: Any) -> bool:
        committed.append(TP(RAW, 1))
        return True

    monkeypatch.setattr(app.consumer, "force_commit", force_commit)
    answer, kafka.refuses = asyncio.Event(), refuses
    kafka.before = answer.wait
    asking = asyncio.create_task(app.still_owns({(RAW, 1): 90}))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(app.consumer.commit())
    await asyncio.sleep(0)
    assert committed == []
    answer.set()
    assert (await asking, await waiting) == (refuses is None, False)
    assert await app.consumer.commit()


def test_a_stop_does_not_wait_for_a_rebalance_as_long_as_what_stops_workers_waits() -> None:
    assert 0 < ChunkConsumerThread.shutdown_timeout < 30
