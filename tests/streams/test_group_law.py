"""Several workers of one group, and states that leave: the tables are those of one undisturbed fold.

Partitions move between workers at any moment; a worker is killed, or suspended while it makes an epoch durable and goes
on when others own its partitions; visitors are silent for so long that their states leave, and come back.
"""

import asyncio
import copy
import os
import random
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest

from streams.runtime.exits import Exit
from streams.runtime.newest import Newest
from tests.effort import seeds
from tests.streams.raw import RAW as RAW_CODEC
from tests.streams.raw import key_of, raw_event
from tests.streams.test_crash_law import assert_law, raw_log
from tests.streams.universe import DEDUP, PARTITIONS, RULES, START_MS, made_uuid, partition_of
from tests.streams.world import RAW, Killed, Life, Log, Seat

SILENT_MS: Final = DEDUP.window_s * 1_000 + RULES.lateness_ms
VISITORS: Final = ("ann", "bob", "cat", "dan", "eve")
EVERY: Final = frozenset(range(PARTITIONS))


class Ended(BaseException):
    """The process has ended itself, with this code."""


@pytest.fixture(autouse=True, scope="module")
def _exits_are_told() -> Any:
    def end(code: int) -> None:
        cause = sys.exc_info()[1]
        if isinstance(cause, Killed | Ended):
            raise cause
        raise Ended(code) from cause

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "_exit", end)
        for level in ("exception", "critical"):
            patch.setattr(f"streams.runtime.epochs.log.{level}", lambda *args, **kwargs: None)
        yield


def traffic(chance: random.Random, numbers: range, start_ms: int) -> list[tuple[bytes | None, bytes | None]]:
    """Events of a few visitors, some out of order within the bound, some sent twice; less than the window long."""
    pairs: list[tuple[bytes | None, bytes | None]] = []
    now_ms = start_ms
    for number in numbers:
        now_ms += chance.choice((200, 900, 2_500))
        visitor = chance.choice(VISITORS)
        event = raw_event(
            number,
            message_id=made_uuid(f"{visitor} {number}"),
            anonymous_id=visitor,
            timestamp=now_ms - chance.choice((0, 0, 400, 3_000)),
            received_at=now_ms,
            event_name=chance.choice(("Viewed", "Bought", "Signed In")),
            user_id=chance.choice((None, None, "u1", "u2")),
        )
        pairs += [(key_of(event), RAW_CODEC.encode(event))] * chance.choice((1, 1, 1, 2))
    return pairs


@pytest.fixture(scope="module")
def left() -> Iterator[list[int]]:
    """How many states left, for each seed."""
    found: list[int] = []
    yield found
    assert sum(map(bool, found)) >= max(1, len(found) // 4)


@pytest.mark.parametrize("seed", seeds(12))
def test_visitors_whose_states_left_and_who_come_back_are_counted_as_if_they_had_not(
    seed: int, left: list[int]
) -> None:
    chance = random.Random(seed)
    log = Log()
    for phase in range(5):
        # Each is read and committed before the next one comes: what is read again is younger than the window.
        numbers = range(phase * 15, phase * 15 + 15)
        for key, value in traffic(chance, numbers, START_MS + 2 * phase * SILENT_MS):
            log.append(RAW, partition_of(key or b""), key, value)
        asyncio.run(_lives(log, chance))
    left.append(sum(record.value is None for _, record in log.of("sessions-changelog")))
    assert_law(log)


def events_of(*visitors_and_times: tuple[str, int]) -> Log:
    """A log of raw events that are all in one partition."""
    log = Log()
    for number, (visitor, at_ms) in enumerate(visitors_and_times):
        event = raw_event(number, anonymous_id=visitor, timestamp=at_ms, received_at=at_ms, user_id=None)
        log.append(RAW, 0, key_of(event), RAW_CODEC.encode(event))
    return log


async def read_after_a_kill_over_more_than_a_window() -> Log:
    """A worker is killed when of an epoch longer than the window only the newest state is durable; then others read."""
    dans = [("dan", START_MS + number) for number in range(6)]  # in each of their epochs some states are looked at
    log = events_of(("ann", START_MS), *dans, ("ann", START_MS + 400), ("bob", START_MS + 3 * SILENT_MS))
    chance = random.Random(4)
    await Life(log, chance, 10**9, evicted_after_ms=SILENT_MS).take(RAW, 0, 1)
    killed = copy.deepcopy(log)
    await Life(killed, chance, 10**9, evicted_after_ms=SILENT_MS).take(RAW, 0, 8)
    changelog, committed = log.records["sessions-changelog", 0], log.committed
    log.records, log.committed, log._ends = killed.records, committed, killed._ends
    log.records["sessions-changelog", 0] = [*changelog, killed.records["sessions-changelog", 0][-1]]
    after = Life(log, chance, 10**9, evicted_after_ms=SILENT_MS)
    for _ in dans:
        await after.take(RAW, 0, 1)
    await after.run()
    return log


def test_a_state_does_not_leave_before_its_records_are_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_law(asyncio.run(read_after_a_kill_over_more_than_a_window()))
    monkeypatch.setattr(Life, "committed", lambda *_: 2**63)
    with pytest.raises(AssertionError):
        assert_law(asyncio.run(read_after_a_kill_over_more_than_a_window()))


async def _lives(log: Log, chance: random.Random) -> None:
    for operations in [*(chance.randint(0, 40) for _ in range(3)), 10**9]:
        await Life(log, chance, operations, evicted_after_ms=SILENT_MS).run()


class Group:
    """Workers that share the partitions of a log, as chance will have it."""

    def __init__(self, log: Log, chance: random.Random) -> None:
        self.log = log
        self.chance = chance
        self.generation = 0
        self.workers: list[Life] = []
        self.exits: list[object] = []

    async def rebalance(self, count: int) -> None:
        """The workers there are make their epochs durable; then so many share the partitions.

        A chunk may be delivered after that, and be processed before the worker knows that it must not.
        """
        for worker in list(self.workers):
            close = self.chance.choice((worker.epochs.commit, worker.epochs.close_generation))
            await self._step(worker, close())
            if worker in self.workers and self.chance.random() < 0.3:
                await self._step(worker, worker.read())
        self.generation += 1
        hands: list[set[int]] = [set() for _ in range(count)]
        for partition in EVERY:
            self.chance.choice(hands).add(partition)
        self.workers = self.workers[:count]
        for worker, owned in zip(self.workers, hands, strict=False):
            await worker.move(owned, self.generation)
        for owned in hands[len(self.workers) :]:
            seat = Seat()
            seat.owned, seat.generation = owned, self.generation
            operations = self.chance.choice((self.chance.randint(5, 60), 10**9))
            self.workers.append(Life(self.log, self.chance, operations, seat))

    async def work(self, steps: int) -> None:
        """So many chunks, with a commit now and then."""
        for _ in range(steps):
            if not self.workers:
                await self.rebalance(2)
            worker = self.chance.choice(self.workers)
            await self._step(worker, worker.read())
            if worker in self.workers and self.chance.random() < 0.2:
                await self._step(worker, worker.epochs.commit())

    async def suspend(self, before_states: bool, joins_again: bool = False) -> None:
        """A worker stops while it waits for its outputs, or for its states, and goes on when the group has without.

        joins_again: by then it is a member of the generation of today, to whom these partitions are not assigned.
        """
        worker = self.chance.choice(self.workers)
        publisher = worker.outputs if before_states else worker.changelogs
        publisher.gate = asyncio.Event()
        under_way = asyncio.ensure_future(worker.epochs.commit())
        at_gate = asyncio.ensure_future(publisher.at_gate.wait())
        await asyncio.wait((under_way, at_gate), return_when=asyncio.FIRST_COMPLETED)
        at_gate.cancel()
        if not under_way.done():
            worker.seat.is_known = False
            self.workers.remove(worker)
            await self.rebalance(self.chance.randint(1, 2))
            await self.work(self.chance.randint(0, 12))
            if joins_again:
                worker.seat.is_known, worker.seat.generation, worker.seat.owned = True, self.generation, set()
        publisher.gate.set()
        publisher.gate = None
        await self._step(worker, under_way)

    async def tend(self) -> None:
        """An hour passes, and every worker has looked at its changelogs."""
        due = list(self.workers)
        while due:
            await self._step(due[0], due[0].tend())
            due = due[1:] if due[0] in self.workers else list(self.workers)

    async def _step(self, worker: Life, step: Any) -> None:
        """One that may be the worker's last; the others then divide the partitions anew."""
        try:
            await step
        except Killed:
            worker.spill()
        except Ended as ended:
            self.exits.append(*ended.args)
        else:
            return
        if worker in self.workers:
            self.workers.remove(worker)
            await self.rebalance(max(1, len(self.workers)))


async def live_together(log: Log, chance: random.Random) -> list[object]:
    """Two workers to begin with, then whatever comes; the codes with which workers ended themselves."""
    group = Group(log, chance)
    await group.rebalance(2)
    for _ in range(8):
        await group.work(chance.randint(1, 6))
        deed = chance.choice(("rebalance", "before states", "after the question", "joins again", "none"))
        if deed == "rebalance":
            await group.rebalance(chance.randint(1, 3))
        elif deed != "none" and group.workers:
            await group.suspend(before_states=deed != "after the question", joins_again=deed == "joins again")
    await group.rebalance(max(1, len(group.workers)))
    await group.tend()
    for worker in group.workers:
        worker.spill()  # the last ones are killed too
    for table in ("sessions", "identities"):
        log.compact(f"{table}-changelog")
    assert await Life(log, chance, 10**9).run()
    return group.exits


@pytest.fixture(scope="module")
def exits() -> Iterator[list[object]]:
    """The codes with which workers ended themselves, over all seeds."""
    found: list[object] = []
    yield found
    assert {Exit.NOT_A_MEMBER, Exit.FOREIGN_RECORDS} <= set(found)


@pytest.mark.parametrize("seed", seeds(20))
def test_workers_that_come_and_go_and_wake_up_too_late_lose_nothing_and_count_nothing_twice(
    seed: int, exits: list[object]
) -> None:
    chance = random.Random(seed)
    log = raw_log(traffic(chance, range(50), START_MS))
    exits += asyncio.run(live_together(log, chance))
    assert_law(log)


async def read_after_a_late_write() -> tuple[Log, list[object]]:
    """A worker is suspended between the coordinator's answer and its states, and writes them when newer ones are there.

    Then an hour passes, in which old records of the changelog are compacted away; the codes with which workers ended.
    """
    log = events_of(*(("ann", START_MS + 200 * number) for number in range(4)))
    chance, exits = random.Random(1), list[object]()
    late = Life(log, chance, 10**9)
    await late.take(RAW, 0, 1)
    late.changelogs.gate = asyncio.Event()
    writing = asyncio.ensure_future(late.take(RAW, 0, 1))
    await late.changelogs.at_gate.wait()
    late.seat.is_known = False
    owner = Life(log, chance, 10**9)
    await owner.take(RAW, 0, 2)
    late.changelogs.gate.set()
    for step in (writing, owner.tend()):
        try:
            await step
        except Ended as ended:
            exits.append(*ended.args)
            owner = Life(log, chance, 10**9)
    await owner.tend()
    log.compact("sessions-changelog")
    assert await Life(log, chance, 10**9).run()
    return log, exits


def test_what_a_late_worker_wrote_over_newer_states_is_noticed_and_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, exits = asyncio.run(read_after_a_late_write())
    assert_law(log)
    assert exits == [Exit.FOREIGN_RECORDS, Exit.FOREIGN_RECORDS]  # the late one notices in its own reports
    monkeypatch.setattr(Newest, "owed", lambda _: iter(()))
    with pytest.raises(AssertionError):
        assert_law(asyncio.run(read_after_a_late_write())[0])


async def read_when_a_partition_was_lost_under_way() -> tuple[list[object], int]:
    """A worker loses its partition while it makes outputs durable, and joins again: how it ends, and what it wrote."""
    log, chance = events_of(("ann", START_MS), ("ann", START_MS + 200)), random.Random(1)
    worker = Life(log, chance, 10**9)
    worker.outputs.gate = asyncio.Event()
    writing = asyncio.ensure_future(worker.take(RAW, 0, 1))
    await worker.outputs.at_gate.wait()
    worker.seat.generation, worker.seat.owned = worker.seat.generation + 1, set()
    worker.outputs.gate.set()
    exits: list[object] = []
    try:
        await writing
    except Ended as ended:
        exits.append(*ended.args)
    return exits, len(log.records["sessions-changelog", 0])


def test_a_worker_whose_partition_is_lost_under_way_writes_none_of_its_states() -> None:
    assert asyncio.run(read_when_a_partition_was_lost_under_way()) == ([Exit.NOT_A_MEMBER], 0)
