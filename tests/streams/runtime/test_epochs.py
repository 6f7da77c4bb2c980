"""Epochs: outputs before states before acknowledgements before the commit, and what happens when one of them fails."""

import asyncio
import threading

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from schemas.registry import RegistryUnavailableError
from streams.runtime.breaker import DeadLimits
from streams.runtime.envelope import UnreadableStateError
from streams.runtime.epochs import EpochLimits, Membership
from streams.runtime.exits import Exit
from streams.runtime.operator import Outputs, Records
from streams.runtime.schemas_apart import SchemaAbsentError
from tests.streams.runtime.epoch_fakes import EpochRig


class Exited(BaseException):
    """The process ended itself; `args[0]` is its exit code."""


@pytest.fixture(autouse=True)
def _exits(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr("streams.runtime.epochs.os._exit", end)


async def test_outputs_are_durable_before_states_and_states_before_the_commit() -> None:
    rig = EpochRig()
    await rig.add(rig.chunk(1, 2))
    await rig.add(rig.chunk(3))
    await rig.epochs.commit()
    assert rig.journal == [
        "process 3",
        "outputs publish t.enriched_events 3",
        "outputs publish t.sessions 1",
        "outputs flush",
        "still owns {('t.raw', 0): 3}",
        "changelogs publish sessions-changelog 1",
        "changelogs flush",
        "confirm",
        "confirm",
        "ack 1",
        "ack 2",
        "commit ['t.raw']",
    ]
    assert rig.operator.states() == {b"key": [2, 1, 2, 3]}
    assert rig.operator.confirmed == [{TP("sessions-changelog", 0): 0}]


async def test_states_go_to_the_partition_of_their_events() -> None:
    rig = EpochRig()
    await rig.add(rig.chunk(1, partition=3))
    await rig.epochs.commit()
    assert [(topic, partition) for topic, partition, _ in rig.changelogs.records] == [("sessions-changelog", 3)]


async def test_both_topics_are_made_durable_and_committed_together() -> None:
    rig = EpochRig()
    await rig.add(rig.chunk(1))
    await rig.add(rig.chunk(2, topic="t.claims"))
    await rig.epochs.commit()
    assert rig.journal[-1] == "commit ['t.claims', 't.raw']"
    assert rig.journal.count("outputs flush") == 1
    assert {topic for topic, _, _ in rig.changelogs.records} == {"sessions-changelog", "identities-changelog"}


async def test_nothing_to_do_writes_nothing() -> None:
    rig = EpochRig()
    await rig.epochs.commit()
    assert rig.journal == []


@pytest.mark.parametrize("fails_at", ["publish", "flush"])
@pytest.mark.parametrize("which", ["outputs", "changelogs"])
async def test_a_publish_error_ends_the_process_without_an_ack_or_a_commit(which: str, fails_at: str) -> None:
    rig = EpochRig()
    chunk = rig.chunk(1, 2)
    await rig.add(chunk)
    getattr(rig, which).fails_at = fails_at
    with pytest.raises(Exited) as ended:
        await rig.epochs.commit()
    assert ended.value.args == (Exit.FAILED,)
    assert not chunk.acked
    assert not any(entry.startswith(("ack", "commit", "confirm")) for entry in rig.journal)
    if which == "outputs":
        assert rig.changelogs.records == []


async def test_a_failed_commit_ends_the_process() -> None:
    rig = EpochRig()

    async def refuse(topics: set[str]) -> None:
        raise ConnectionError("coordinator away")

    rig.epochs._membership = Membership(lambda: 1, rig._still_owns, refuse, lambda *_place: 0)
    await rig.add(rig.chunk(1))
    with pytest.raises(Exited):
        await rig.epochs.commit()


@pytest.mark.parametrize("poison", [(5,), (1,), (9,), (3, 4), (2, 7), tuple(range(1, 10))])
async def test_a_poison_record_is_one_dead_letter_and_its_neighbours_are_applied_once(poison: tuple[int, ...]) -> None:
    rig = EpochRig(poison=poison)
    chunk = rig.chunk(*range(1, 10))
    await rig.add(chunk)
    await rig.epochs.commit()
    good = [value for value in range(1, 10) if value not in poison]
    assert rig.outputs.values("t.enriched_events") == good
    assert rig.outputs.values("t.dead_letters") == list(poison)
    assert rig.operator.states().get(b"key", [-1])[1:] == good
    assert chunk.acked
    assert rig.journal[-1] == "commit ['t.raw']"
    assert rig.counted("raw_events", "dead", "step_failed") == len(poison)
    assert rig.counted("raw_events", "keep") == len(good)


async def test_a_dead_letter_of_a_failed_step_names_the_failure() -> None:
    rig = EpochRig(poison=[1])
    await rig.add(rig.chunk(1))
    await rig.epochs.commit()
    (detail,) = [record["detail"] for topic, _, record in rig.outputs.records if topic == "t.dead_letters"]
    assert detail == "poison 1"


async def test_bad_records_of_several_chunks_of_an_epoch_are_dead_letters_each_alone() -> None:
    rig = EpochRig(poison=[2, 5], limits=EpochLimits(2, 1, 1_000, 10_000))
    for values in ((1, 2), (3, 4), (5, 6)):
        await rig.add(rig.chunk(*values))
    await rig.epochs.commit()
    assert rig.operator.states() == {b"key": [5, 1, 3, 4, 6]}
    assert set(rig.outputs.values("t.dead_letters")) == {2, 5}


@pytest.mark.parametrize("fault", [ValueError("a bug"), MemoryError(), KeyError("state"), RuntimeError("away")])
async def test_whatever_no_step_calls_a_bad_record_ends_the_process_and_makes_no_dead_letter(fault: Exception) -> None:
    rig = EpochRig(fatal={3: fault})
    chunk = rig.chunk(1, 2, 3, 4)
    await rig.add(chunk)
    with pytest.raises(Exited) as ended, capture_logs() as logs:
        await rig.epochs.commit()
    assert ended.value.args == (Exit.STEP_FAILED,)
    assert "raw_events/0/2;" in logs[-1]["why"]
    assert rig.outputs.records == rig.changelogs.records == []
    assert not chunk.acked
    assert rig.counted("raw_events", "dead", "step_failed") == 0


async def test_a_failure_that_does_not_come_again_is_no_records() -> None:
    rig = EpochRig(fatal={1: ValueError("once")})
    await rig.add(rig.chunk(1))
    process = rig.operator.process

    def process_once(records: Records) -> Outputs:
        try:
            return process(records)
        finally:
            rig.operator.fatal = {}

    rig.operator.process = process_once  # type: ignore[method-assign]
    with pytest.raises(Exited), capture_logs() as logs:
        await rig.epochs.commit()
    assert "nothing is wrong with the records" in logs[-1]["why"]


async def test_an_operator_gets_past_a_record_that_a_step_fails_on() -> None:
    rig = EpochRig(fatal={3: ValueError("a bug"), 5: ValueError("a bug")}, set_aside="raw_events/0/2,raw_events/0/4-4")
    await rig.add(rig.chunk(1, 2, 3, 4, 5))
    await rig.epochs.commit()
    assert rig.outputs.values("t.enriched_events") == [1, 2, 4]
    assert rig.outputs.values("t.dead_letters") == [3, 5]
    assert rig.journal[-1] == "commit ['t.raw']"


async def test_a_topic_whose_records_all_die_is_not_eaten() -> None:
    rig = EpochRig(poison=range(20), dead_limits=DeadLimits(1, 1, run_max=10))
    await rig.add(rig.chunk(*range(10)))
    await rig.epochs.commit()
    await rig.add(rig.chunk(10))
    with pytest.raises(Exited) as ended:
        await rig.epochs.commit()
    assert ended.value.args == (Exit.TOO_MANY_DEAD,)
    assert rig.outputs.values("t.dead_letters") == list(range(10))
    assert rig.journal.count("commit ['t.raw']") == 1


async def test_what_an_operator_set_aside_is_not_held_against_the_topic() -> None:
    rig = EpochRig(dead_limits=DeadLimits(0.1, 10, run_max=2), set_aside="raw_events/0/0-99")
    await rig.add(rig.chunk(*range(20)))
    await rig.epochs.commit()
    assert rig.counted("raw_events", "dead", "step_failed") == 20


async def test_what_the_epoch_held_before_a_poison_record_is_applied_once() -> None:
    # The states were half changed, so the chunks before are read again: repeats of their outputs, in order of offsets,
    # at or below what was published before.
    rig = EpochRig(poison=[5], limits=EpochLimits(2, 1, 1_000, 10_000))
    for values in ((1, 2), (3, 4)):
        await rig.add(rig.chunk(*values))
    await rig.add(rig.chunk(5, 6))
    await rig.epochs.commit()
    assert rig.outputs.values("t.enriched_events") == [1, 2, 3, 4, 1, 2, 3, 4, 6]
    assert rig.operator.states() == {b"key": [5, 1, 2, 3, 4, 6]}
    assert rig.outputs.values("t.dead_letters") == [5]


async def test_the_other_topics_states_survive_a_poison_record() -> None:
    rig = EpochRig(poison=[5])
    await rig.add(rig.chunk(10, topic="t.claims"))
    await rig.add(rig.chunk(5))
    await rig.epochs.commit()
    assert rig.claims.states() == {b"key": [0, 10]}
    assert rig.outputs.values("t.enriched_events") == [10]


async def test_chunks_of_an_earlier_generation_are_dropped_unprocessed() -> None:
    rig = EpochRig()
    stale, fresh = rig.chunk(1, generation=1), rig.chunk(2, generation=2)
    await rig.add(stale)
    rig.generation = 2
    await rig.add(fresh)
    await rig.epochs.commit()
    assert rig.outputs.values("t.enriched_events") == [2]
    assert (stale.acked, fresh.acked) == (False, True)


async def test_only_stale_chunks_commit_nothing() -> None:
    rig = EpochRig()
    await rig.add(rig.chunk(1))
    rig.generation = 2
    await rig.epochs.commit()
    assert rig.journal == []
    assert rig.epochs.oldest_seconds() == 0.0


async def test_an_epoch_that_was_processed_in_an_earlier_generation_is_read_again() -> None:
    rig = EpochRig(limits=EpochLimits(2, 1, 1_000, 10_000))
    # Delivered while the epoch was closed for the rebalance, and processed after it.
    late = [rig.chunk(1, 2), rig.chunk(3, 4, topic="t.claims")]
    for chunk in late:
        await rig.add(chunk)
    rig.generation = 2
    rig._ends.clear()
    again = rig.chunk(1, 2, generation=2)
    await rig.add(again)
    await rig.epochs.commit()
    assert rig.operator.states() == {b"key": [1, 1, 2]}
    assert rig.claims.states() == {}
    assert [chunk.acked for chunk in (*late, again)] == [False, False, True]
    assert rig.journal[-1] == "commit ['t.raw']"


async def test_no_epoch_is_opened_between_two_generations() -> None:
    rig = EpochRig(limits=EpochLimits(2, 1, 2, 10_000))
    before = rig.chunk(1)
    await rig.add(before)
    await rig.epochs.close_generation()
    assert before.acked
    rig.journal.clear()
    rig.is_member = False  # the coordinator takes no commit while it waits for all to join
    await rig.add(rig.chunk(2, 3))
    assert rig.journal == []
    rig.is_member, rig.generation, rig._ends["t.raw"] = True, 2, 1
    rig._follows["t.raw", 0, 2] = 1
    await rig.add(rig.chunk(2, 3, generation=2))
    assert rig.operator.states() == {b"key": [2, 1, 2, 3]}


async def test_a_worker_that_is_no_longer_a_member_ends_without_writing_states() -> None:
    rig = EpochRig()
    await rig.add(rig.chunk(1))
    rig.is_member = False
    with pytest.raises(Exited):
        await rig.epochs.commit()
    assert rig.changelogs.records == []
    assert "outputs flush" in rig.journal
    assert not any(entry.startswith(("ack", "commit")) for entry in rig.journal)


async def test_a_worker_that_is_no_longer_a_member_says_so_by_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise Exited(code)

    monkeypatch.setattr("streams.runtime.epochs.os._exit", end)
    rig = EpochRig()
    await rig.add(rig.chunk(1))
    rig.is_member = False
    with pytest.raises(Exited):
        await rig.epochs.commit()
    # The real one does not return, so the first is the code that counts.
    assert codes[0] == Exit.NOT_A_MEMBER


async def test_a_state_that_cannot_be_read_ends_the_worker_and_no_record_becomes_a_dead_letter() -> None:
    rig = EpochRig()

    def fail(records: Records) -> Outputs:
        raise UnreadableStateError("version 42")

    rig.operator.process = fail  # type: ignore[method-assign]
    await rig.add(rig.chunk(1, 2))
    with pytest.raises(Exited) as ended:
        await rig.epochs.commit()
    assert ended.value.args == (Exit.STATE_UNREADABLE,)
    assert rig.journal == []
    assert rig.counted("raw_events", "dead", "step_failed") == 0


async def test_a_full_chunk_is_processed_at_once_and_made_durable_when_the_epoch_is_full() -> None:
    rig = EpochRig(limits=EpochLimits(chunk_records_max=2, chunk_ms_max=1, epoch_records_max=4, epoch_ms_max=10_000))
    await rig.add(rig.chunk(1))
    assert rig.journal == []
    await rig.add(rig.chunk(2))
    assert rig.journal == ["process 2", "outputs publish t.enriched_events 2"]
    await rig.add(rig.chunk(3, 4))
    assert rig.journal[-1] == "commit ['t.raw']"
    assert rig.operator.states() == {b"key": [3, 1, 2, 3, 4]}


async def test_an_epoch_ends_at_its_age_and_later_while_there_is_a_backlog() -> None:
    limits = EpochLimits(chunk_records_max=2, chunk_ms_max=1, epoch_records_max=1_000, epoch_ms_max=500)
    rig = EpochRig(limits=limits)
    await rig.add(rig.chunk(1))
    await rig.epochs._guarded(rig.epochs._advance)
    assert "outputs flush" not in rig.journal
    rig.now_s += 0.5
    await rig.epochs._guarded(rig.epochs._advance)
    assert rig.journal[-1] == "commit ['t.raw']"

    behind = EpochRig(limits=limits)
    await behind.add(behind.chunk(1, 2))
    behind.now_s += 0.6
    await behind.add(behind.chunk(3, 4))
    assert "outputs flush" not in behind.journal
    behind.now_s += 3.0
    await behind.add(behind.chunk(5, 6))
    assert behind.journal[-1] == "commit ['t.raw']"


async def test_what_a_fetch_brought_is_processed_together_and_at_once() -> None:
    rig = EpochRig()
    await rig.epochs.add_fetch([rig.chunk(1, 2), rig.chunk(3, partition=1)])
    assert rig.journal[0] == "process 3"


async def test_fetches_that_wait_already_are_processed_together() -> None:
    rig = EpochRig()
    await rig.epochs.add_fetch([rig.chunk(1, 2)], more_waits=True)
    assert rig.journal == []
    await rig.epochs.add_fetch([rig.chunk(3)])
    assert rig.journal[0] == "process 3"


async def test_what_a_backlog_leaves_of_a_fetch_waits_for_the_next_one() -> None:
    rig = EpochRig(limits=EpochLimits(chunk_records_max=2, chunk_ms_max=1, epoch_records_max=1_000, epoch_ms_max=500))
    await rig.epochs.add_fetch([rig.chunk(1, 2), rig.chunk(3, partition=1)])
    await rig.epochs.add_fetch([rig.chunk(4)])
    processed = [entry for entry in rig.journal if entry.startswith("process")]
    assert processed == ["process 2", "process 2"]


async def test_the_timer_makes_durable_what_waits() -> None:
    rig = EpochRig(limits=EpochLimits(chunk_records_max=100, chunk_ms_max=1, epoch_records_max=1_000, epoch_ms_max=0))
    chunk = rig.chunk(1)
    await rig.add(chunk)
    ticking = asyncio.create_task(rig.epochs.run())
    await chunk.was_acked.wait()
    ticking.cancel()
    assert rig.operator.states() == {b"key": [0, 1]}


async def test_the_age_of_the_oldest_chunk_is_that_of_the_one_not_durable() -> None:
    rig = EpochRig()
    assert rig.epochs.oldest_seconds() == 0.0
    await rig.add(rig.chunk(1))
    rig.now_s += 7
    await rig.add(rig.chunk(2))
    assert rig.epochs.oldest_seconds() == 7.0
    await rig.epochs.commit()
    assert rig.epochs.oldest_seconds() == 0.0
    assert rig.epochs.last_commit_at == 107.0


async def test_a_refused_commit_moves_nothing() -> None:
    rig = EpochRig()
    rig.commits_are_refused = True
    rig.now_s += 50
    await rig.add(rig.chunk(7, 8))
    await rig.epochs.commit()
    assert rig.journal[-1] == "commit ['t.raw']"
    assert (rig.epochs.last_commit_at, rig.epochs.reached_at) == (100.0, {("raw_events", 0): 7.0})
    rig.commits_are_refused = False
    await rig.add(rig.chunk(9))
    await rig.epochs.commit()
    assert (rig.epochs.last_commit_at, rig.epochs.reached_at) == (150.0, {("raw_events", 0): 1.0})


async def test_a_chunk_that_is_processed_is_not_durable_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = EpochRig()
    ages: list[float] = []
    process = rig.operator.process

    def process_slowly(records: Records) -> Outputs:
        rig.now_s += 30
        ages.append(rig.epochs.oldest_seconds())
        return process(records)

    monkeypatch.setattr(rig.operator, "process", process_slowly)
    await rig.add(rig.chunk(1))
    await rig.epochs.commit()
    assert ages == [30.0]


async def test_records_are_published_when_they_are_durable() -> None:
    def published() -> float | None:
        return rig.registry.get_sample_value("tally_streams_published_total", {"topic": "enriched_events"})

    rig = EpochRig(limits=EpochLimits(2, 1, 1_000, 10_000))
    await rig.add(rig.chunk(1, 2))
    assert "outputs publish t.enriched_events 2" in rig.journal
    assert not published()
    await rig.epochs.commit()
    assert published() == 2


async def test_chunks_that_come_during_a_commit_wait_for_the_next() -> None:
    rig = EpochRig()
    first, second = rig.chunk(1), rig.chunk(2)
    await rig.add(first)
    rig.outputs.gate = asyncio.Event()
    committing = asyncio.create_task(rig.epochs.commit())
    await rig.outputs.at_gate.wait()
    await rig.add(second)
    rig.outputs.gate.set()
    await committing
    assert (first.acked, second.acked) == (True, False)
    assert rig.operator.states() == {b"key": [0, 1]}
    await rig.epochs.commit()
    assert second.acked


async def test_two_commits_at_once_are_one_after_the_other() -> None:
    rig = EpochRig()
    await rig.add(rig.chunk(1))
    rig.outputs.gate = asyncio.Event()
    both = asyncio.gather(rig.epochs.commit(), rig.epochs.commit())
    await rig.outputs.at_gate.wait()
    rig.outputs.gate.set()
    await both
    assert rig.journal.count("outputs flush") == 1


async def test_a_cancelled_commit_loses_nothing() -> None:
    rig = EpochRig()
    chunk = rig.chunk(1, 2)
    await rig.add(chunk)
    rig.changelogs.gate = asyncio.Event()
    committing = asyncio.create_task(rig.epochs.commit())
    await rig.changelogs.at_gate.wait()
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    assert not chunk.acked
    rig.changelogs.gate.set()
    await rig.epochs.commit()
    assert chunk.acked
    assert rig.operator.states() == {b"key": [1, 1, 2]}
    assert rig.outputs.values("t.enriched_events") == [1, 2]


async def test_a_registry_that_is_away_is_waited_for_and_no_record_is_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.runtime.epochs._REGISTRY_PAUSE_S", 0.0)
    rig = EpochRig()
    away = 3
    asked_on: set[int] = set()
    process = rig.operator.process

    def fetch() -> None:
        nonlocal away
        asked_on.add(threading.get_ident())
        if away := away - 1:
            raise RegistryUnavailableError("http://registry", "cannot be reached")

    def process_when_known(records: Records) -> Outputs:
        if away:
            raise SchemaAbsentError(9, fetch)
        return process(records)

    monkeypatch.setattr(rig.operator, "process", process_when_known)
    chunk = rig.chunk(1, 2, 3)
    await rig.add(chunk)
    await rig.epochs.commit()
    assert rig.outputs.values("t.enriched_events") == [1, 2, 3]
    assert rig.outputs.values("t.dead_letters") == []
    assert chunk.acked
    assert threading.get_ident() not in asked_on
