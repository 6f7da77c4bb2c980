"""A fault counts only when it came about: on processes that are nothing but a shell, and servers that are nothing."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.process import ServerProcess
from tests.chaos import faults
from tests.chaos.counters import SKIPPED
from tests.chaos.faults import EVERY, FAULTS, KILLS, SHORT, Harm
from tests.chaos.proof import tried
from tests.chaos.shell import Shell
from tests.chaos.supervisor import Slot, Supervisor

pytestmark = pytest.mark.command


class Server(ServerProcess):
    """Runs or not, and has a process id; each start gives it another."""

    def __init__(self, home: Path) -> None:
        super().__init__("clickhouse", home)
        self.its_pid: int | None = 1
        self.starts_meanwhile = False

    @property
    def pid(self) -> int | None:
        return self.its_pid

    def suspend(self) -> None:
        if self.starts_meanwhile:
            self.its_pid = 2

    def resume(self) -> None:
        """Nothing was suspended."""


class Shop:
    """As much of a site as the faults need: two sinks, one of which runs, and a database."""

    def __init__(self, home: Path) -> None:
        self.shells = [Shell(f"sinks-{number}", home) for number in range(2)]
        self.slots = [Slot("sinks", shell, 0, {}) for shell in self.shells]
        self.supervisor = Supervisor(self.slots, ClickHouseServer(home / "clickhouse"))
        self.clickhouse = self.kafka = Server(home)
        self.is_free = True
        self.outages = 0
        self.statements: list[str] = []
        self.doubled = 0
        self.pipeline = self

    def query(self, sql: str) -> str:
        self.statements.append(" ".join(sql.split()[:2]))
        return str(self.doubled) if sql.startswith("SELECT") else ""

    def of(self, kind: str) -> list[Slot]:
        return self.slots

    def up(self, kind: str) -> list[Slot]:
        return [slot for slot in self.slots if slot.wanted and slot.service.running and not slot.frozen]

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        """A shell is ready at once."""

    def wait_ready(self) -> None:
        """Likewise."""

    @contextmanager
    def ours(self, server: ServerProcess) -> Iterator[bool]:
        yield self.is_free

    @contextmanager
    def outage(self, server: ServerProcess) -> Iterator[None]:
        self.outages += 1
        yield


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    made.supervisor.want(made.slots[0])
    made.supervisor.start()
    yield made
    made.supervisor.stop()
    for slot in made.slots:
        slot.service.kill()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_FAILPOINT_S", 2.0)
    monkeypatch.setattr(faults, "_SKIPPED_S", 3.0)
    monkeypatch.setattr(faults, "_GROUP_S", (0.0, 0.0))
    monkeypatch.setattr(faults, "_HEALS_S", 0.0)
    monkeypatch.setattr(faults, "REQUEST_S", -1.5)
    monkeypatch.setattr(faults, "_BETWEEN_HANGS_S", 0.0)


def do(name: str, shop: Shop) -> bool:
    return FAULTS[name].do(Harm(shop, random.Random(1), lambda _chance: None, nullcontext, 0.0, 0.2, hangs=2))


def test_a_kill_needs_somebody_to_kill(shop: Shop) -> None:
    assert do("kill_sink", shop)
    shop.supervisor.kill(shop.slots[0], restart=False)
    assert not do("kill_sink", shop)


def test_a_failpoint_has_to_be_reached(shop: Shop) -> None:
    shop.shells[0].script = 'test -n "$SINKS_FAILPOINT" && kill -9 $$; exec sleep 60'
    assert do("kill_sink_at_after_insert", shop)
    shop.shells[0].script = "exec sleep 60"
    assert not do("kill_sink_at_after_insert", shop)


def test_a_worker_that_died_before_its_commit_counts_when_the_next_one_is_seen_to_skip(shop: Shop) -> None:
    counters = shop.supervisor.counters
    dies = 'test -n "$KILL_BEFORE_COMMIT" && kill -9 $$; '
    shop.shells[0].script = f"{dies}exec sleep 60"
    assert not do("kill_worker_before_commit", shop)  # it died, and nobody skipped anything
    counters.read = lambda service: counters.note(service, {SKIPPED: service.said("skips")})  # type: ignore[method-assign]
    shop.shells[0].script = f"{dies}echo skips; exec sleep 60"
    assert do("kill_worker_before_commit", shop)
    shop.shells[0].script = "echo skips; exec sleep 60"
    assert not do("kill_worker_before_commit", shop)  # it did not die there


def test_an_answer_is_lost_when_the_sink_says_so(shop: Shop) -> None:
    shop.shells[0].script = "echo the answer is lost: a failpoint says so; exec sleep 60"
    assert do("lose_answer_after_insert", shop)
    shop.shells[0].script = "exec sleep 60"
    assert not do("lose_answer_after_insert", shop)


def test_a_reader_lags_only_when_an_answer_was_lost_and_the_question_after_it_too(shop: Shop) -> None:
    says = "echo the answer is lost: a failpoint says so; "
    shop.shells[0].script = f"{says}{says}exec sleep 60"
    assert do("reader_lags", shop)
    shop.shells[0].script = f"{says}exec sleep 60"
    assert not do("reader_lags", shop)


def test_a_view_fails_only_when_a_sink_says_so_and_is_removed_in_any_case(shop: Shop) -> None:
    shop.shells[0].script = "sleep 0.5; echo a view fails; exec sleep 60"
    shop.supervisor.kill(shop.slots[0])
    assert do("view_fails", shop)
    assert shop.statements[-2:] == ["DROP VIEW", "DROP TABLE"]
    shop.shells[0].script = "exec sleep 60"
    shop.supervisor.kill(shop.slots[0])
    assert not do("view_fails", shop)
    assert shop.statements[-2:] == ["DROP VIEW", "DROP TABLE"]
    shop.doubled = 3
    with pytest.raises(AssertionError, match="3 rows"):
        do("view_fails", shop)


def test_a_process_that_was_killed_first_did_not_reach_its_failpoint(shop: Shop) -> None:
    shop.shells[0].script = "exit 1"
    assert not do("kill_sink_at_after_insert", shop)


def test_a_suspension_is_of_one_process_all_the_time(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert do("freeze_sink", shop)

    def dies_meanwhile(slot: Slot) -> AbstractContextManager[None]:
        slot.service.kill()
        return nullcontext()

    monkeypatch.setattr(shop.supervisor, "suspended", dies_meanwhile)
    assert not do("freeze_sink", shop)


def test_a_server_that_another_fault_keeps_away_is_left_alone(shop: Shop) -> None:
    shop.is_free = False
    assert not do("restart_database", shop)
    assert not do("database_hangs", shop)
    assert shop.outages == 0
    shop.is_free = True
    assert do("restart_database", shop)
    assert shop.outages == 1


def test_a_server_hangs_only_if_it_runs_and_is_the_same_afterwards(shop: Shop) -> None:
    assert do("database_hangs", shop)
    shop.clickhouse.starts_meanwhile = True
    assert not do("database_hangs", shop)
    shop.clickhouse.its_pid = None
    assert not do("database_hangs", shop)


def test_every_kind_of_fault_is_in_a_whole_run_and_says_what_it_does() -> None:
    assert set(EVERY) == set(FAULTS)
    assert set(SHORT) <= set(FAULTS)
    assert set(KILLS) <= set(FAULTS)
    for fault in FAULTS.values():
        assert getattr(fault.do, "func", fault.do).__doc__, fault.name


def test_what_happens_at_random_leaves_no_server_away_for_long() -> None:
    assert not {"broker_away", "database_away", "database_hangs"} & KILLS.keys()


def test_a_fault_is_tried_again_only_once_processes_run_again() -> None:
    running: list[bool] = []
    assert tried(lambda: bool(running), lambda: running.append(True))
    waits: list[None] = []
    assert not tried(lambda: False, lambda: waits.append(None))
    assert len(waits) == 4
