"""Epochs: outputs before states before acknowledgements before the commit, and what happens when one of them fails."""

import asyncio

import pytest
from faust.types import TP

from streams.epochs import EXIT_FAILED, EXIT_NOT_A_MEMBER, EpochLimits, Membership
from tests.streams.epoch_fakes import Bench


class Exited(BaseException):
    """The process ended itself; `args[0]` is its exit code."""


@pytest.fixture(autouse=True)
def _exits(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr("streams.epochs.os._exit", end)


async def test_outputs_are_durable_before_states_and_states_before_the_commit() -> None:
    bench = Bench()
    await bench.add(bench.chunk(1, 2))
    await bench.add(bench.chunk(3))
    await bench.epochs.commit()
    assert bench.journal == [
        "process 3",
        "outputs publish t.enriched_events 3",
        "outputs publish t.sessions 1",
        "outputs flush",
        "changelogs publish sessions-changelog 1",
        "changelogs flush",
        "settle",
        "settle",
        "ack 1",
        "ack 2",
        "commit ['t.raw']",
    ]
    assert bench.source.states() == {b"key": [2, 1, 2, 3]}
    assert bench.source.settled == [{TP("changelog", 0): 5}]


async def test_states_go_to_the_partition_of_their_events() -> None:
    bench = Bench()
    await bench.add(bench.chunk(1, partition=3))
    await bench.epochs.commit()
    assert [(topic, partition) for topic, partition, _ in bench.changelogs.records] == [("sessions-changelog", 3)]


async def test_both_topics_are_made_durable_and_committed_together() -> None:
    bench = Bench()
    await bench.add(bench.chunk(1))
    await bench.add(bench.chunk(2, topic="t.claims"))
    await bench.epochs.commit()
    assert bench.journal[-1] == "commit ['t.claims', 't.raw']"
    assert bench.journal.count("outputs flush") == 1
    assert {topic for topic, _, _ in bench.changelogs.records} == {"sessions-changelog", "identities-changelog"}


async def test_nothing_to_do_writes_nothing() -> None:
    bench = Bench()
    await bench.epochs.commit()
    assert bench.journal == []


@pytest.mark.parametrize("fails_at", ["publish", "flush"])
@pytest.mark.parametrize("which", ["outputs", "changelogs"])
async def test_a_publish_error_ends_the_process_without_an_ack_or_a_commit(which: str, fails_at: str) -> None:
    bench = Bench()
    chunk = bench.chunk(1, 2)
    await bench.add(chunk)
    getattr(bench, which).fails_at = fails_at
    with pytest.raises(Exited) as ended:
        await bench.epochs.commit()
    assert ended.value.args == (EXIT_FAILED,)
    assert not chunk.acked
    assert not any(entry.startswith(("ack", "commit", "settle")) for entry in bench.journal)
    if which == "outputs":
        assert bench.changelogs.records == []


async def test_a_failed_commit_ends_the_process() -> None:
    bench = Bench()

    async def refuse(topics: set[str]) -> None:
        raise ConnectionError("coordinator away")

    bench.epochs._membership = Membership(lambda: 1, lambda: True, refuse)
    await bench.add(bench.chunk(1))
    with pytest.raises(Exited):
        await bench.epochs.commit()


@pytest.mark.parametrize("poison", [(5,), (1,), (9,), (3, 4), (2, 7), tuple(range(1, 10))])
async def test_a_poison_record_is_one_dead_letter_and_its_neighbours_are_applied_once(poison: tuple[int, ...]) -> None:
    bench = Bench(poison=poison)
    chunk = bench.chunk(*range(1, 10))
    await bench.add(chunk)
    await bench.epochs.commit()
    good = [value for value in range(1, 10) if value not in poison]
    assert bench.outputs.values("t.enriched_events") == good
    assert bench.outputs.values("t.dead_letters") == list(poison)
    assert bench.source.states().get(b"key", [-1])[1:] == good
    assert chunk.acked
    assert bench.journal[-1] == "commit ['t.raw']"
    assert bench.counted("raw_events", "dead", "step_failed") == len(poison)
    assert bench.counted("raw_events", "keep") == len(good)


async def test_a_dead_letter_of_a_failed_step_names_the_failure() -> None:
    bench = Bench(poison=[1])
    await bench.add(bench.chunk(1))
    await bench.epochs.commit()
    (detail,) = [record["detail"] for topic, _, record in bench.outputs.records if topic == "t.dead_letters"]
    assert detail == "ValueError: poison 1"


async def test_what_the_epoch_held_before_a_poison_record_is_applied_once() -> None:
    # The states were half changed, so the chunks before are read again: repeats of their outputs, in order of offsets,
    # at or below what was published before.
    bench = Bench(poison=[5], limits=EpochLimits(2, 1, 1_000, 10_000))
    for values in ((1, 2), (3, 4)):
        await bench.add(bench.chunk(*values))
    await bench.add(bench.chunk(5, 6))
    await bench.epochs.commit()
    assert bench.outputs.values("t.enriched_events") == [1, 2, 3, 4, 1, 2, 3, 4, 6]
    assert bench.source.states() == {b"key": [5, 1, 2, 3, 4, 6]}
    assert bench.outputs.values("t.dead_letters") == [5]


async def test_the_other_topics_states_survive_a_poison_record() -> None:
    bench = Bench(poison=[5])
    await bench.add(bench.chunk(10, topic="t.claims"))
    await bench.add(bench.chunk(5))
    await bench.epochs.commit()
    assert bench.claims.states() == {b"key": [0, 10]}
    assert bench.outputs.values("t.enriched_events") == [10]


async def test_chunks_of_an_earlier_generation_are_dropped_unprocessed() -> None:
    bench = Bench()
    stale, fresh = bench.chunk(1, generation=1), bench.chunk(2, generation=2)
    await bench.add(stale)
    bench.generation = 2
    await bench.add(fresh)
    await bench.epochs.commit()
    assert bench.outputs.values("t.enriched_events") == [2]
    assert (stale.acked, fresh.acked) == (False, True)


async def test_only_stale_chunks_commit_nothing() -> None:
    bench = Bench()
    await bench.add(bench.chunk(1))
    bench.generation = 2
    await bench.epochs.commit()
    assert bench.journal == []
    assert bench.epochs.oldest_seconds() == 0.0


async def test_a_worker_that_is_no_longer_a_member_ends_without_writing_states() -> None:
    bench = Bench()
    await bench.add(bench.chunk(1))
    bench.is_member = False
    with pytest.raises(Exited):
        await bench.epochs.commit()
    assert bench.changelogs.records == []
    assert "outputs flush" in bench.journal
    assert not any(entry.startswith(("ack", "commit")) for entry in bench.journal)


async def test_a_worker_that_is_no_longer_a_member_says_so_by_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise Exited(code)

    monkeypatch.setattr("streams.epochs.os._exit", end)
    bench = Bench()
    await bench.add(bench.chunk(1))
    bench.is_member = False
    with pytest.raises(Exited):
        await bench.epochs.commit()
    # The real one does not return, so the first is the code that counts.
    assert codes[0] == EXIT_NOT_A_MEMBER


async def test_a_full_chunk_is_processed_at_once_and_made_durable_when_the_epoch_is_full() -> None:
    bench = Bench(limits=EpochLimits(chunk_records_max=2, chunk_ms_max=1, epoch_records_max=4, epoch_ms_max=10_000))
    await bench.add(bench.chunk(1))
    assert bench.journal == []
    await bench.add(bench.chunk(2))
    assert bench.journal == ["process 2", "outputs publish t.enriched_events 2"]
    await bench.add(bench.chunk(3, 4))
    assert bench.journal[-1] == "commit ['t.raw']"
    assert bench.source.states() == {b"key": [3, 1, 2, 3, 4]}


async def test_an_epoch_ends_at_its_age_and_later_while_there_is_a_backlog() -> None:
    limits = EpochLimits(chunk_records_max=2, chunk_ms_max=1, epoch_records_max=1_000, epoch_ms_max=500)
    bench = Bench(limits=limits)
    await bench.add(bench.chunk(1))
    await bench.epochs._guarded(bench.epochs._advance)
    assert "outputs flush" not in bench.journal
    bench.now_s += 0.5
    await bench.epochs._guarded(bench.epochs._advance)
    assert bench.journal[-1] == "commit ['t.raw']"

    behind = Bench(limits=limits)
    await behind.add(behind.chunk(1, 2))
    behind.now_s += 0.6
    await behind.add(behind.chunk(3, 4))
    assert "outputs flush" not in behind.journal
    behind.now_s += 3.0
    await behind.add(behind.chunk(5, 6))
    assert behind.journal[-1] == "commit ['t.raw']"


async def test_the_timer_makes_durable_what_waits() -> None:
    bench = Bench(limits=EpochLimits(chunk_records_max=100, chunk_ms_max=1, epoch_records_max=1_000, epoch_ms_max=0))
    chunk = bench.chunk(1)
    await bench.add(chunk)
    ticking = asyncio.create_task(bench.epochs.run())
    await chunk.was_acked.wait()
    ticking.cancel()
    assert bench.source.states() == {b"key": [0, 1]}


async def test_the_age_of_the_oldest_chunk_is_that_of_the_one_not_durable() -> None:
    bench = Bench()
    assert bench.epochs.oldest_seconds() == 0.0
    await bench.add(bench.chunk(1))
    bench.now_s += 7
    await bench.add(bench.chunk(2))
    assert bench.epochs.oldest_seconds() == 7.0
    await bench.epochs.commit()
    assert bench.epochs.oldest_seconds() == 0.0
    assert bench.epochs.last_commit_at == 107.0


async def test_chunks_that_come_during_a_commit_wait_for_the_next() -> None:
    bench = Bench()
    first, second = bench.chunk(1), bench.chunk(2)
    await bench.add(first)
    bench.outputs.pause = asyncio.Event()
    committing = asyncio.create_task(bench.epochs.commit())
    await bench.outputs.flushing.wait()
    await bench.add(second)
    bench.outputs.pause.set()
    await committing
    assert (first.acked, second.acked) == (True, False)
    assert bench.source.states() == {b"key": [0, 1]}
    await bench.epochs.commit()
    assert second.acked


async def test_two_commits_at_once_are_one_after_the_other() -> None:
    bench = Bench()
    await bench.add(bench.chunk(1))
    bench.outputs.pause = asyncio.Event()
    both = asyncio.gather(bench.epochs.commit(), bench.epochs.commit())
    await bench.outputs.flushing.wait()
    bench.outputs.pause.set()
    await both
    assert bench.journal.count("outputs flush") == 1


async def test_a_cancelled_commit_loses_nothing() -> None:
    bench = Bench()
    chunk = bench.chunk(1, 2)
    await bench.add(chunk)
    bench.changelogs.pause = asyncio.Event()
    committing = asyncio.create_task(bench.epochs.commit())
    await bench.changelogs.flushing.wait()
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    assert not chunk.acked
    bench.changelogs.pause.set()
    await bench.epochs.commit()
    assert chunk.acked
    assert bench.source.states() == {b"key": [1, 1, 2]}
    assert bench.outputs.values("t.enriched_events") == [1, 2]
