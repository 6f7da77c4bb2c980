"""The guard of offsets: a state knows which records are applied to it, so that a killed worker's are not again."""

import signal

import pytest

from tests.streams.accounting import kept_rows, sessions_differ, traffic
from tests.streams.rig import StreamsRig


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "unguarded"])
def test_without_the_guard_of_offsets_a_killed_worker_counts_twice(rig: StreamsRig, guarded: bool) -> None:
    # The negative control: what the other tests assert of sessions fails when the guard is taken away.
    rig.produce(traffic(3_000, duplicate_share=0.0))
    worker = rig.worker("tests.streams.failing_worker")
    worker.extra_environ = {"KILL_BEFORE_COMMIT": "1"}
    worker.start_to_be_killed()
    rig.wait_until(lambda: worker.exit_code == -signal.SIGKILL, "killed with durable states and no commit")
    assert rig.total(rig.committed()) < 3_000
    worker.extra_environ = {} if guarded else {"UNGUARDED": "1"}
    worker.start()
    rig.catch_up()
    rows = kept_rows(rig)
    assert len(rows) == 3_000
    assert bool(sessions_differ(rig, rows)) != guarded
