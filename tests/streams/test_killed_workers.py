"""Workers killed on a real Kafka, at random and at the worst moments: every record accounted for."""

import random
import signal
import time
from typing import Final

from tests.streams.accounting import SEED, assert_accounted, disordered, traffic
from tests.streams.rig import StreamsRig, WorkerProcess

LIVES: Final = 6
EVENTS: Final = 2_000  # new ones in each


def test_killed_at_random_moments_no_event_is_lost_and_none_counted_twice(rig: StreamsRig) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    # Over hours, with half-hours in which a visitor is silent: late events join sessions.
    events = disordered(traffic((LIVES + 1) * EVENTS, visitors=1_000, hours=12))
    worker = rig.worker("tests.streams.failing_worker")
    for life in range(LIVES):
        load = rig.load(events[life * EVENTS : (life + 1) * EVENTS], seconds=3)
        if life % 3 == 1:
            _live_until_outputs_are_durable_and_states_are_not(rig, worker)
        else:
            _live_for_a_while(rig, worker, chance.uniform(0.0, 0.8))
        load.end()
    rig.produce(events[LIVES * EVENTS :])
    worker.start()
    rig.catch_up()
    assert sum(row["is_deleted"] for row in rig.rows("sessions")) > 100
    assert assert_accounted(rig) > 0  # repeats, which the watermark took away: the kills did hit the work
    assert worker.terminate() == 0


def _live_for_a_while(rig: StreamsRig, worker: WorkerProcess, seconds: float) -> None:
    reached = rig.total(rig.committed())
    worker.start()
    rig.wait_until(lambda: rig.total(rig.committed()) > reached, "the worker works")
    time.sleep(seconds)  # where in its work the kill meets it is the dice's
    worker.kill()


def _live_until_outputs_are_durable_and_states_are_not(rig: StreamsRig, worker: WorkerProcess) -> None:
    worker.extra_environ = {"KILL_BEFORE_STATES": "1"}
    worker.start_to_be_killed()
    rig.wait_until(lambda: worker.exit_code == -signal.SIGKILL, "killed with durable outputs and old states")
    worker.extra_environ = {}
