"""The supervisor's own conduct, on processes that are nothing but a shell: what it counts, judges and restarts."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.ports import free_port
from docker.local.services import Service
from schemas.settings import Settings
from tests.chaos.shell import Shell
from tests.chaos.supervisor import Slot, Supervisor, SupervisorFailedError
from tests.waiting import wait_until

pytestmark = pytest.mark.command


class Broken(Service):
    """Cannot be started."""

    def command(self) -> list[str]:
        raise ZeroDivisionError("a mistake in the run itself")


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., tuple[Supervisor, Slot]]]:
    """Start a supervisor of one slot."""
    started: list[tuple[Supervisor, Slot]] = []

    def start(*codes: int, kind: str = "sinks") -> tuple[Supervisor, Slot]:
        slot = Slot(kind, Shell(f"{kind}-0", tmp_path, list(codes)), 0, {})
        supervisor = Supervisor([slot], ClickHouseServer(tmp_path / "clickhouse"))
        started.append((supervisor, slot))
        supervisor.want(slot)
        supervisor.start()
        return supervisor, slot

    yield start
    for supervisor, slot in started:
        supervisor.stop()
        slot.service.kill()


Start = Callable[..., tuple[Supervisor, Slot]]


def test_what_ends_by_itself_is_started_again_and_judged(supervise: Start) -> None:
    supervisor, slot = supervise(1)
    wait_until(lambda: slot.starts == 2 and slot.service.running, supervisor.unexplained)
    (said,) = supervisor.unexplained()
    assert "sinks-0 ended by itself with 1" in said
    assert "started" in said  # the log of that life, though another has begun
    assert supervisor.kills == 0


def test_a_worker_that_lost_its_membership_is_started_again_and_that_is_all(supervise: Start) -> None:
    supervisor, slot = supervise(75, kind="streams")
    wait_until(lambda: slot.starts == 2 and slot.service.running, supervisor.unexplained)
    assert [ending.code for ending in supervisor.endings] == [75]
    assert supervisor.unexplained() == []


def test_our_own_kill_is_counted_and_no_exit(supervise: Start) -> None:
    supervisor, slot = supervise()
    assert supervisor.kill(slot)
    assert slot.service.running
    assert (supervisor.kills, supervisor.endings) == (1, [])


def test_a_kill_of_nobody_is_none(supervise: Start) -> None:
    supervisor, slot = supervise()
    supervisor.kill(slot, restart=False)
    assert not supervisor.kill(slot, restart=False)
    assert supervisor.kills == 1


def test_somebody_elses_kill_is_an_exit(supervise: Start) -> None:
    supervisor, slot = supervise()
    slot.service.kill()
    wait_until(lambda: slot.starts == 2, supervisor.unexplained)
    assert [ending.code for ending in supervisor.endings] == [-9]
    assert supervisor.unexplained()


def test_a_death_at_a_failpoint_is_a_kill_of_that_start(supervise: Start) -> None:
    supervisor, slot = supervise()
    slot.once = {"SINKS_FAILPOINT": "after_insert:kill"}
    supervisor.kill(slot)
    number = slot.starts
    slot.service.kill()  # as the failpoint does
    wait_until(lambda: slot.died_at_failpoint == number, supervisor.unexplained)
    assert (supervisor.kills, supervisor.endings) == (2, [])


def test_a_stop_that_fails_is_judged(supervise: Start) -> None:
    supervisor, slot = supervise()
    wait_until(lambda: slot.service.log() == "started\n", slot.service.log)
    assert supervisor.dismiss(slot) != 0  # a shell that dies of SIGTERM
    assert len(supervisor.unexplained()) == 1


def test_who_is_told_to_end_before_it_has_said_a_word_had_nothing_to_put_in_order(tmp_path: Path) -> None:
    service = Shell("streams-0", tmp_path)
    service.greeting = ":"
    slot = Slot("streams", service, 0, {})
    supervisor = Supervisor([slot], ClickHouseServer(tmp_path / "clickhouse"))
    supervisor.want(slot)
    assert supervisor.dismiss(slot) == -signal.SIGTERM
    assert supervisor.endings == []


def test_a_supervisor_that_meets_the_unforeseen_says_so_by_name(tmp_path: Path) -> None:
    slot = Slot("sinks", Broken("sinks", tmp_path / "sinks-0", Settings.model_validate({}), free_port()), 0, {})
    supervisor = Supervisor([slot], ClickHouseServer(tmp_path / "clickhouse"))
    slot.wanted = True
    supervisor.start()
    wait_until(lambda: supervisor.failure is not None, lambda: "it lives")
    with pytest.raises(SupervisorFailedError, match="ZeroDivisionError"):
        supervisor.check()
    supervisor.stop()
