"""A worker suspended at the worst moments of an epoch, on a real Kafka: what it does when others own its partitions."""

from pathlib import Path

from schemas.topics import changelog_of
from streams.runtime.envelope import applied_offset
from streams.runtime.exits import Exit
from tests.streams.accounting import assert_accounted, later, traffic
from tests.streams.rig import StreamsRig, WorkerProcess

EVENTS = 3_000


def suspended_while_another_works(rig: StreamsRig, failpoint: str) -> tuple[WorkerProcess, WorkerProcess]:
    """The late worker, which has just been resumed, and the owner of its partitions, whose states are newer."""
    late, owner = rig.worker("tests.streams.failing_worker"), rig.worker()
    late.extra_environ = {failpoint: "3"}
    load = rig.load(traffic(EVENTS, visitors=100), seconds=4)
    late.start_to_be_killed()
    rig.wait_until(lambda: _is_suspended(late), "suspended")
    reached = rig.total(rig.committed())
    owner.start()
    rig.wait_until(lambda: rig.total(rig.committed()) > reached + EVENTS, "the owner is ahead")
    load.end()
    rig.catch_up()
    late.resume()
    rig.wait_until(lambda: late.exit_code is not None, "the late one ends")
    return late, owner


def test_a_worker_suspended_before_it_asks_for_its_states_writes_none(rig: StreamsRig) -> None:
    late, owner = suspended_while_another_works(rig, "SUSPEND_BEFORE_ASKING")
    assert late.exit_code == Exit.NOT_A_MEMBER
    assert overwritten(rig) == set()
    rig.produce(later(traffic(EVENTS, visitors=100)))
    rig.catch_up()
    assert_accounted(rig)
    assert owner.terminate() == 0


def test_what_a_worker_suspended_after_the_answer_writes_late_is_noticed_and_written_again(rig: StreamsRig) -> None:
    late, owner = suspended_while_another_works(rig, "SUSPEND_BEFORE_STATES")
    # Nobody can take this back: older states stand after newer ones. He has seen it in his reports.
    assert late.exit_code == Exit.FOREIGN_RECORDS
    assert overwritten(rig) != set()
    rig.produce(later(traffic(EVENTS, visitors=100))[: EVENTS // 2])
    rig.wait_until(lambda: owner.exit_code is not None, "the owner meets what he did not write")
    assert owner.exit_code == Exit.FOREIGN_RECORDS
    owner.start()
    rig.catch_up()
    assert overwritten(rig) == set()
    rig.produce(later(traffic(EVENTS, visitors=100))[EVENTS // 2 :])
    rig.catch_up()
    assert_accounted(rig)
    assert owner.terminate() == 0


def overwritten(rig: StreamsRig) -> set[bytes]:
    """Keys of the changelog of sessions of which compaction would keep an older state than there is."""
    newest: dict[bytes, int] = {}
    last: dict[bytes, int] = {}
    for record in rig.kafka.read(changelog_of("raw_events", rig.settings)):
        assert record.key is not None
        assert record.value is not None
        last[record.key] = applied_offset(record.value)
        newest[record.key] = max(last[record.key], newest.get(record.key, -1))
    return {key for key in newest if newest[key] > last[key]}


def _is_suspended(worker: WorkerProcess) -> bool:
    if (pid := worker.pid) is None:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
