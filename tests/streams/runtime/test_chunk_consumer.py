"""ChunkConsumer without Kafka: what is delivered, and which offsets are committed."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from aiokafka.structs import TopicPartition
from faust.types import TP

from streams.runtime.app import App
from streams.runtime.chunks import ChunkConsumer, FetchMessage
from streams.runtime.exits import Exit
from streams.runtime.store import ForeignRecordsError
from tests.streams.runtime.faust_app import faust_app

RAW = "t_raw_events"
CLAIMS = "t_identity_claims"
TP0, TP1, TP2 = (TP(RAW, number) for number in range(3))
CLAIM0 = TP(CLAIMS, 0)


class Exited(BaseException):
    """The process ended itself."""


@dataclass(frozen=True)
class Fetched:
    """A record as aiokafka brings it; its time is a thousand times its offset."""

    offset: int
    key: bytes = b""
    value: bytes = b""

    @property
    def timestamp(self) -> int:
        return 1_000 * self.offset


class QuietProducer:
    """Faust's own producer, which has nothing to send."""

    async def flush(self) -> None:
        """Done."""


class FakeThread:
    """The consumer's thread, as far as seeks and fetches go through it."""

    def __init__(self) -> None:
        self.fetches: list[dict[TP, list[Fetched]]] = []
        self.before_fetch_returns: Any = None
        self.rewound: list[TP] = []
        self.sought: list[tuple[TP, int]] = []
        self._positions: dict[TP, Any] = {}
        assignment = SimpleNamespace(state_value=self._positions.get)
        subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        self._consumer = SimpleNamespace(_subscription=subscription)
        self.begins: dict[TP, int] = {}

    async def getmany(self, active_partitions: set[TP], timeout: float) -> dict[TP, list[Fetched]]:
        if self.before_fetch_returns is not None:
            await self.before_fetch_returns()
        return self.fetches.pop(0)

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        return {tp: self.begins.get(tp, 0) for tp in partitions}

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        self.rewound += [TP(tp.topic, tp.partition) for tp in partitions]

    async def seek_wait(self, partitions: dict[TP, int]) -> None:
        self.sought += partitions.items()
        for tp, offset in partitions.items():
            self.move(tp, offset)

    def move(self, tp: TP, offset: int) -> None:
        """Its position is there."""
        self._positions[tp] = SimpleNamespace(has_valid_position=True, position=offset)


class QuietConsumer(ChunkConsumer):
    """A consumer whose fetches and commits are the test's."""

    def prepare(self) -> "QuietConsumer":
        self.kafka_committed: dict[TP, int | None] = defaultdict(lambda: None)
        self.committed: list[dict[TP, int]] = []
        self.seeks = 0
        self.refuses = False
        vars(self)["_thread"].thread_loop.close()  # the thread never runs, and would close it at its end
        self.thread = FakeThread()
        self._thread = self.thread
        self._active_partitions = {TP0, TP1, TP2}
        self.flow_active = True
        return self

    async def seek_to_committed(self) -> dict[TP, int | None]:
        self.seeks += 1
        return {tp: self.kafka_committed[tp] for tp in self.assignment()}

    def assignment(self) -> set[TP]:
        return {TP0, TP1, TP2}

    def highwater(self, tp: TP) -> int:
        return 1_000

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        self.committed.append(dict(offsets))
        return not self.refuses

    async def begin(self, **offsets: int) -> None:
        """What a rebalance ends with: a seek to the commits; of tp0, tp1, tp2."""
        self.kafka_committed |= {TP(RAW, int(name[2:])): offset for name, offset in offsets.items()}
        await self.perform_seek()
        self.seeks = 0

    async def delivered(self) -> list[tuple[TP, Any]]:
        """The chunks that one fetch delivers."""
        found: list[tuple[TP, Any]] = []
        async for tp, message in self.getmany(0.1):
            is_fetch = isinstance(message, FetchMessage)
            found += [(chunk.tp, chunk) for chunk in message.value] if is_fetch else [(tp, message)]
        return found


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    app = faust_app()
    monkeypatch.setattr(app.topics, "acks_enabled_for", lambda topic: topic == RAW)
    app.producer = QuietProducer()
    app.consumer_generation_id = 4
    return app


@pytest.fixture
async def consumer(app: App, monkeypatch: pytest.MonkeyPatch) -> QuietConsumer:
    """Where no loop runs, Faust makes one of its own and leaves it open."""
    monkeypatch.setattr(app.transport, "Consumer", QuietConsumer)
    found: QuietConsumer = app.transport.create_consumer(_nothing, on_partitions_revoked=_nothing,
                                                         on_partitions_assigned=_nothing)  # fmt: skip
    app.consumer = found
    return found.prepare()


async def _nothing(*args: Any, **kwargs: Any) -> None:
    """Done."""


async def _nothing_committed() -> dict[TP, int | None]:
    return {}


def fetched(*offsets: int) -> list[Fetched]:
    return [Fetched(offset) for offset in offsets]


def ack(chunks: Iterable[tuple[TP, Any]]) -> None:
    """As the stream does it when the last reference is given back."""
    for tp, chunk in chunks:
        chunk.acked = True
        chunk.tp = tp


async def test_a_fetch_arrives_as_chunks_of_a_partition_in_order_of_offsets(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5, tp1=1)
    consumer.thread.fetches = [{TP0: fetched(5, 6, 8, 9), TP1: fetched(1)}]
    chunks = await consumer.delivered()
    assert [(tp, [record.offset for record in chunk.value]) for tp, chunk in chunks] == [
        (TP0, [5, 6, 8]),
        (TP0, [9]),
        (TP1, [1]),
    ]
    assert [(chunk.offset, chunk.timestamp, chunk.generation_id) for _, chunk in chunks] == [
        (8, 8.0, 4),
        (9, 9.0, 4),
        (1, 1.0, 4),
    ]


async def commit(consumer: QuietConsumer, *tps: TP) -> dict[TP, int]:
    """What a commit sends to Kafka."""
    for tp in tps:
        consumer._acked[tp].append(0)  # what an acknowledgement leaves there
    consumer.committed.clear()
    await consumer.commit()
    return consumer.committed[0] if consumer.committed else {}


async def test_the_acknowledged_prefix_is_committed(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5, tp1=1)
    consumer.thread.fetches = [{TP0: fetched(5, 6, 8, 9, 20, 21, 22), TP1: fetched(1)}]
    chunks = await consumer.delivered()
    ack(chunks[:2])
    assert await commit(consumer, TP0, TP1) == {TP0: 22}
    assert await commit(consumer, TP0, TP1) == {}
    ack(chunks[2:])
    assert await commit(consumer, TP0, TP1) == {TP0: 23, TP1: 2}


async def test_a_chunk_in_flight_holds_the_commit_of_its_partition_back(consumer: QuietConsumer) -> None:
    await consumer.begin(tp1=7)
    consumer.thread.fetches = [{TP0: fetched(0, 1, 2), TP1: fetched(7)}]
    chunks = await consumer.delivered()
    ack(chunks[1:])
    assert await commit(consumer, TP0, TP1) == {TP1: 8}


async def test_holes_between_offsets_hold_nothing_back(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=10)
    consumer.thread.fetches = [{TP0: fetched(10, 500)}]
    ack(await consumer.delivered())
    await consumer._add_gap(TP0, 11, 500)
    assert await commit(consumer, TP0) == {TP0: 501}


async def test_a_chunk_that_never_reached_its_agent_ends_the_process(
    consumer: QuietConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr("streams.runtime.chunks.os._exit", end)
    await consumer.begin()
    consumer.thread.fetches = [{TP0: fetched(0, 1, 2, 3)}]
    chunks = await consumer.delivered()
    ack(chunks[1:])
    with pytest.raises(Exited) as ended:
        await commit(consumer, TP0)
    assert ended.value.args == (Exit.CHUNK_MISSING,)
    assert consumer.committed == []


async def test_a_fetch_that_raced_a_seek_is_thrown_away_and_the_seek_repeated(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5)
    consumer.thread.fetches = [{TP0: fetched(5)}]
    consumer.thread.before_fetch_returns = consumer.perform_seek
    assert await consumer.delivered() == []
    assert consumer.seeks == 2
    assert not consumer._inflight[TP0]


async def test_a_fetch_that_began_and_ended_during_a_seek_is_thrown_away(consumer: QuietConsumer) -> None:
    # The commits of several partitions are asked for one after another: meanwhile a fetch finds the old positions.
    during: list[Any] = []
    asked = consumer.seek_to_committed

    async def fetch_meanwhile() -> dict[TP, int | None]:
        if not during:
            during.append(None)
            during[0] = await consumer.delivered()
        return await asked()

    await consumer.begin(tp0=5)
    consumer.seek_to_committed = fetch_meanwhile  # type: ignore[method-assign]
    consumer.thread.fetches = [{TP0: fetched(9)}, {TP0: fetched(5, 6)}]
    await consumer.perform_seek()
    assert during == [[]]
    assert [(tp, chunk.offset) for tp, chunk in await consumer.delivered()] == [(TP0, 6)]


async def test_records_that_do_not_follow_those_delivered_are_read_again(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5, tp1=3)
    consumer.thread.fetches = [{TP0: fetched(5, 6)}, {TP0: fetched(9), TP1: fetched(3)}, {TP0: fetched(7, 8)}]
    assert len(await consumer.delivered()) == 1
    assert [tp for tp, _ in await consumer.delivered()] == [TP1]  # which goes on
    assert (consumer.thread.sought, consumer.seeks) == ([(TP0, 7)], 0)
    assert [chunk.offset for _, chunk in await consumer.delivered()] == [8]


async def test_records_of_a_partition_that_was_not_sought_yet_are_not_delivered(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5)
    await consumer.on_partitions_revoked({TP0})
    consumer.thread.fetches = [{TP0: fetched(5)}]
    consumer.seek_to_committed = _nothing_committed  # type: ignore[method-assign]
    assert await consumer.delivered() == []


async def test_a_gap_that_is_there_when_asked_again_is_the_log_s_own(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5)
    consumer.thread.fetches = [{TP0: fetched(70)}, {TP0: fetched(70)}, {TP0: fetched(71)}, {TP0: fetched(80)}]
    assert await consumer.delivered() == []
    assert [chunk.offset for _, chunk in await consumer.delivered()] == [70]
    assert [chunk.offset for _, chunk in await consumer.delivered()] == [71]
    assert consumer.thread.sought == [(TP0, 5)]
    assert await consumer.delivered() == []
    assert (consumer.thread.sought, consumer.seeks) == ([(TP0, 5), (TP0, 72)], 0)


async def test_another_gap_than_the_one_met_is_asked_for_again(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5)
    consumer.thread.fetches = [{TP0: fetched(70)}, {TP0: fetched(60)}, {TP0: fetched(60)}]
    assert (await consumer.delivered(), await consumer.delivered()) == ([], [])
    assert [chunk.offset for _, chunk in await consumer.delivered()] == [60]
    assert consumer.thread.sought == [(TP0, 5), (TP0, 5)]


async def test_after_a_seek_to_the_commits_a_gap_is_asked_for_anew(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5)
    consumer.thread.fetches = [{TP0: fetched(70)}, {TP0: fetched(70)}]
    assert await consumer.delivered() == []
    await consumer.perform_seek()
    assert await consumer.delivered() == []
    assert consumer.thread.sought == [(TP0, 5), (TP0, 5)]


async def test_a_log_that_ends_with_what_is_no_record_waits_for_nothing(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5)
    consumer.thread.fetches = [{TP0: fetched(5, 6)}, {}, {}, {TP0: fetched(1_000)}]
    chunks = await consumer.delivered()
    consumer.thread.move(TP0, 1_000)  # behind a marker, to the end
    assert await consumer.delivered() == []
    assert consumer.thread.sought == [(TP0, 7)]
    consumer.thread.move(TP0, 1_000)
    assert not consumer.is_at_end(TP0)  # two records are not committed
    ack(chunks)
    await commit(consumer, TP0)
    assert consumer.is_at_end(TP0)
    assert await consumer.delivered() == []
    assert consumer.thread.sought == [(TP0, 7)]
    assert [(chunk.start, chunk.offset) for _, chunk in await consumer.delivered()] == [(7, 1_000)]
    assert not consumer.is_at_end(TP0)


async def test_who_has_not_asked_again_does_not_know_that_nothing_waits(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5)
    consumer.thread.move(TP0, 1_000)  # as when a fetch got lost
    assert not consumer.is_at_end(TP0)


async def cancelled_fetch(consumer: QuietConsumer, failure: Exception | None = None) -> asyncio.Event:
    """A fetch that was cancelled while its request went on; once the event is set, that ends, or fails."""
    going_on, end = asyncio.Event(), asyncio.Event()

    async def go_on() -> None:
        going_on.set()
        await end.wait()
        if failure is not None:
            raise failure

    consumer.thread.before_fetch_returns = go_on
    cancelled = asyncio.ensure_future(consumer.delivered())
    await going_on.wait()
    cancelled.cancel()
    await asyncio.wait({cancelled})
    return end


async def test_a_fetch_of_before_a_seek_is_thrown_away_also_when_it_was_cancelled(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5)
    consumer.thread.fetches = [{TP0: fetched(5)}]
    end = await cancelled_fetch(consumer)
    await consumer.perform_seek()
    end.set()
    assert await consumer.delivered() == []
    assert consumer.seeks == 2


async def test_a_cancelled_fetch_that_fails_is_no_crash_and_another_is(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5)
    failure = IllegalStateError("No current assignment")
    end = await cancelled_fetch(consumer, failure)
    end.set()
    assert await consumer.delivered() == []
    with pytest.raises(IllegalStateError):
        await consumer.delivered()


async def test_what_a_cancelled_fetch_brings_is_not_lost(consumer: QuietConsumer) -> None:
    # Its request goes on in the consumer's thread, and moves the position.
    await consumer.begin(tp0=5)
    consumer.thread.fetches = [{TP0: fetched(5)}, {TP0: fetched(6)}]
    end = await cancelled_fetch(consumer)
    end.set()
    assert [chunk.offset for _, chunk in await consumer.delivered()] == [5]
    assert [chunk.offset for _, chunk in await consumer.delivered()] == [6]
    assert consumer.thread.sought == []


async def test_a_fetch_that_ended_after_the_flow_was_stopped_is_thrown_away(consumer: QuietConsumer) -> None:
    async def stop_flow() -> None:
        consumer.flow_active = False

    await consumer.begin(tp0=5)
    consumer.thread.fetches = [{TP0: fetched(5)}]
    consumer.thread.before_fetch_returns = stop_flow
    assert await consumer.delivered() == []
    assert consumer.seeks == 1


async def test_a_seek_while_partitions_are_revoked_is_no_crash(
    consumer: QuietConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise IllegalStateError("No current assignment")

    async def stop_flow() -> None:
        consumer.flow_active = False

    await consumer.begin(tp0=5)
    monkeypatch.setattr(consumer, "seek_to_committed", refuse)
    consumer.thread.fetches = [{TP0: fetched(5)}]
    consumer.thread.before_fetch_returns = stop_flow
    assert await consumer.delivered() == []


async def test_all_chunks_of_a_fetch_and_source_travel_as_one_message(
    consumer: QuietConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer.app.topics, "acks_enabled_for", lambda topic: topic in (RAW, CLAIMS))
    await consumer.begin(tp0=1, tp1=2)
    consumer._next[CLAIM0] = 7
    consumer._active_partitions.add(CLAIM0)
    consumer.thread.fetches = [{TP0: fetched(1, 2, 3, 4), CLAIM0: fetched(7), TP1: fetched(2)}]
    messages = [message async for _, message in consumer.getmany(0.1)]
    assert [[(chunk.tp, chunk.start, chunk.offset) for chunk in message.value] for message in messages] == [
        [(TP0, 1, 3), (TP0, 4, 4), (TP1, 2, 2)],
        [(CLAIM0, 7, 7)],
    ]
    assert [(message.tp, message.offset, message.generation_id) for message in messages] == [
        (TP1, 2, 4),
        (CLAIM0, 7, 4),
    ]


async def test_delivery_stops_when_the_generation_changes(
    consumer: QuietConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer.app.topics, "acks_enabled_for", lambda topic: topic in (RAW, CLAIMS))
    await consumer.begin(tp0=1)
    consumer._next[CLAIM0] = 2
    consumer._active_partitions.add(CLAIM0)
    consumer.thread.fetches = [{TP0: fetched(1), CLAIM0: fetched(2)}]
    found = []
    async for tp, _ in consumer.getmany(0.1):
        found.append(tp)
        consumer.app.consumer_generation_id += 1
    assert found == [TP0]


async def test_a_fetch_in_which_the_generation_changes_is_not_delivered(consumer: QuietConsumer) -> None:
    # TP1 asks the broker where its log begins, and TP0 has its chunk already.
    async def answer_in_another_generation(*_: TP) -> dict[TP, int]:
        consumer.app.consumer_generation_id += 1
        return {}

    await consumer.begin(tp0=1, tp1=2)
    consumer.thread.earliest_offsets = answer_in_another_generation  # type: ignore[method-assign]
    consumer.thread.fetches = [{TP0: fetched(1), TP1: fetched(9)}]
    assert await consumer.delivered() == []


async def test_a_seek_rewinds_the_partitions_that_have_no_commit_yet(consumer: QuietConsumer) -> None:
    consumer.kafka_committed |= {TP0: None, TP1: 12, TP2: 0}
    await consumer.perform_seek()
    assert sorted(consumer.thread.rewound) == [TP0, TP2]


async def test_a_seek_forgets_what_was_in_flight(consumer: QuietConsumer) -> None:
    await consumer.begin()
    consumer.thread.fetches = [{TP0: fetched(0)}, {TP0: fetched(0, 1)}]
    before = await consumer.delivered()
    await consumer.perform_seek()
    again = await consumer.delivered()
    ack(before)
    assert await commit(consumer, TP0) == {}
    ack(again)
    assert await commit(consumer, TP0) == {TP0: 2}


@pytest.fixture
def changelog(consumer: QuietConsumer) -> TP:
    """That of the sources' states, which is read."""
    found = TP(consumer.app.changelogs[RAW], 0)
    consumer._active_partitions = {TP0, found}
    return found


async def test_a_changelog_is_never_in_flight(consumer: QuietConsumer, changelog: TP) -> None:
    await consumer.seek_wait({changelog: 0})
    consumer.thread.fetches = [{changelog: fetched(1, 2)}]
    assert [tp for tp, _ in await consumer.delivered()] == [changelog]
    assert changelog not in consumer._inflight


async def test_a_chunk_of_a_restore_begins_where_the_one_before_ended_also_behind_a_hole(
    consumer: QuietConsumer, changelog: TP
) -> None:
    await consumer.seek_wait({changelog: 4})
    consumer.thread.fetches = [{changelog: fetched(9, 20, 21, 25)}, {changelog: fetched(70)}]
    chunks = [*await consumer.delivered(), *await consumer.delivered()]
    assert [(chunk.start, chunk.offset) for _, chunk in chunks] == [(4, 21), (22, 25), (26, 70)]
    assert consumer.thread.sought == [(changelog, 4)]  # compaction's holes cost nothing


async def test_changelogs_of_a_fetch_that_is_thrown_away_are_read_again(consumer: QuietConsumer, changelog: TP) -> None:
    await consumer.seek_wait({changelog: 4})
    consumer.thread.fetches = [{changelog: fetched(4, 5)}, {TP0: fetched(5), changelog: fetched(6, 7)}]
    assert len(await consumer.delivered()) == 1
    assert await consumer.delivered() == []  # nobody knows yet where the source goes on
    consumer.thread.fetches = [{changelog: fetched(6, 7, 8)}]
    assert [(chunk.start, chunk.offset) for _, chunk in await consumer.delivered()] == [(6, 8)]
    assert consumer.thread.sought == [(changelog, 4), (changelog, 6)]


async def test_what_was_asked_for_before_recovery_s_seek_is_none_of_the_restore(
    consumer: QuietConsumer, changelog: TP
) -> None:
    async def seek_meanwhile() -> None:
        await consumer.seek_wait({changelog: 4})

    await consumer.seek_wait({changelog: 0})
    consumer.thread.before_fetch_returns = seek_meanwhile
    consumer.thread.fetches = [{changelog: fetched(8, 9)}, {changelog: fetched(4, 5)}]
    assert await consumer.delivered() == []
    consumer.thread.before_fetch_returns = None
    assert [(chunk.start, chunk.offset) for _, chunk in await consumer.delivered()] == [(4, 5)]
    assert consumer.thread.sought == [(changelog, 0), (changelog, 4), (changelog, 4)]


async def test_a_record_that_came_with_the_end_of_a_restore_and_is_given_to_nobody_is_noticed(
    consumer: QuietConsumer, changelog: TP, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pause_meanwhile() -> None:
        consumer.pause_partitions({changelog, TP0})  # aiokafka takes the empty set for all there are
        consumer.thread.move(changelog, 3)

    app: App = consumer.app
    monkeypatch.setattr(app, "_is_settled", lambda: True)
    await consumer.seek_wait({changelog: 1})
    app.state_tables["sessions"].store.set_persisted_offset(changelog, 1)
    assert not app._is_owed({changelog: 2})
    consumer.thread.before_fetch_returns = pause_meanwhile
    consumer.thread.fetches = [{changelog: fetched(2)}]
    assert await consumer.delivered() == []
    with pytest.raises(ForeignRecordsError):
        app._is_owed({changelog: 3})


async def test_a_changelog_that_recovery_has_not_sought_is_not_delivered(
    consumer: QuietConsumer, changelog: TP
) -> None:
    await consumer.seek_wait({changelog: 4})
    await consumer.on_partitions_revoked({changelog})
    consumer.thread.fetches = [{changelog: fetched(4)}]
    assert await consumer.delivered() == []


async def test_before_a_rebalance_the_open_epoch_is_made_durable(
    consumer: QuietConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def close() -> None:
        seen.append(f"epoch with {len(consumer._inflight[TP0])} in flight")

    monkeypatch.setattr(consumer.app.epochs, "close_generation", close)
    await consumer.begin()
    consumer.thread.fetches = [{TP0: fetched(0)}]
    await consumer.delivered()
    await consumer.wait_empty()
    assert seen == ["epoch with 1 in flight"]
    assert not consumer._inflight[TP0]


async def test_the_last_committed_offset_is_told_and_before_the_first_where_the_log_begins(
    consumer: QuietConsumer,
) -> None:
    consumer.thread.begins = {TP1: 500}
    await consumer.begin(tp0=9)
    assert [consumer.committed_offset(tp) for tp in (TP0, TP1, TP2)] == [9, 500, 0]


async def test_a_refused_commit_is_not_taken_for_one(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=4)
    consumer.thread.fetches = [{TP0: fetched(4, 5)}]
    ((_, chunk),) = await consumer.delivered()
    chunk.acked = True
    consumer._acked[TP0].append(chunk.offset)
    consumer.refuses = True
    assert not await consumer.commit({RAW})
    assert consumer.committed_offset(TP0) == 4
    assert consumer.committed == [{TP0: 6}]


async def test_records_that_retention_deleted_before_they_were_read_are_counted_once(consumer: QuietConsumer) -> None:
    consumer.thread.begins = {TP0: 70, TP1: 500}
    await consumer.begin(tp0=4)
    assert dict(consumer.expired) == {RAW: 66}
    consumer.thread.fetches = [{TP0: fetched(70, 71)}]
    assert len(await consumer.delivered()) == 1  # no seek helps against it
    await consumer.perform_seek()
    assert dict(consumer.expired) == {RAW: 66}
    consumer.thread.begins = {TP0: 80}
    await consumer.perform_seek()
    assert dict(consumer.expired) == {RAW: 76}


async def test_what_was_fetched_of_a_partition_that_is_not_active_is_not_delivered(consumer: QuietConsumer) -> None:
    await consumer.begin(tp0=5, tp1=1)
    consumer._active_partitions = {TP0}
    consumer.thread.fetches = [{TP1: fetched(1, 2), TP0: fetched(5)}]
    assert [tp for tp, _ in await consumer.delivered()] == [TP0]
    # Once it is active, what was passed over is read again.
    consumer._active_partitions = {TP0, TP1}
    consumer.thread.fetches = [{TP1: fetched(3)}]
    assert (await consumer.delivered(), consumer.thread.sought) == ([], [(TP1, 1)])


async def test_a_source_without_the_changelog_of_its_states_is_not_taken(
    consumer: QuietConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(code: int) -> None:
        raise Exited(code)

    left: list[str] = []

    async def leave() -> None:
        left.append("the group")

    monkeypatch.setattr("streams.runtime.chunks.os._exit", end)
    monkeypatch.setattr(consumer, "_leave_group", leave)
    states = consumer.app.changelogs[RAW]
    with pytest.raises(Exited) as ended:
        await consumer.on_partitions_assigned({TP0, TP1, TP(states, 1)}, 5)
    assert (left, ended.value.args) == (["the group"], (Exit.STATES_NOT_ASSIGNED,))


async def test_a_fetch_waits_as_long_as_a_chunk_may_take_to_fill(consumer: QuietConsumer) -> None:
    thread = consumer._new_consumer_thread()
    thread.thread_loop.close()
    asked = thread._create_consumer(loop=asyncio.get_running_loop())
    await asked.stop()
    assert asked._fetch_max_wait_ms == consumer.app.chunk_ms_max
    assert asked._fetch_min_bytes > 100_000
