"""What the group gives a worker: sources together with their states, or nothing."""

from typing import Final

from streams.runtime.exits import Exit
from tests.streams.accounting import assert_accounted, traffic
from tests.streams.rig import StreamsRig

EVENTS: Final = 4_000


def test_sources_without_their_states_are_not_touched_and_the_next_start_gets_both(rig: StreamsRig) -> None:
    """The group's leader had a broker that did not know a changelog yet; a static member keeps what it was given."""
    events = traffic(2 * EVENTS)
    worker = rig.worker("tests.streams.failing_worker")
    worker.extra_environ = {"UNHEARD_OF": "identities-changelog"}
    rig.produce(events[:EVENTS])
    worker.start_to_be_killed()
    rig.wait_until(lambda: worker.exit_code == Exit.STATES_NOT_ASSIGNED, "ended, since states were not assigned")
    assert rig.total(rig.committed()) == 0
    worker.extra_environ = {}
    worker.start()
    rig.catch_up()
    worker.kill()
    rig.produce(events[EVENTS:])
    worker.start()
    rig.catch_up()
    assert_accounted(rig)
    assert worker.terminate() == 0
