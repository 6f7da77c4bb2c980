"""The faults: each does its harm, waits until what it took away is being put right, and says whether it came about.

A new kind is a function of Harm whose docstring says what is done, which returns True only when that happened (the
process was there and killed by us, the failpoint was reached, the same process was suspended all the time), wrapped by
`Fault` in FAULTS below. Then it is done once in every whole run and counted by its name; to be done at random as well
it needs a weight in KILLS, to be part of `make test` a place in SHORT. What it may do to a process that is not killed
(an exit code) is a rule in exits.py.
"""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from docker.local.process import ServerProcess
from sinks import failpoints
from tests.chaos.counters import SKIPPED
from tests.chaos.exits import DATABASE
from tests.chaos.site import COPIES, REQUEST_S
from tests.chaos.supervisor import Slot, Supervisor

_READY_S: Final = 150.0
_FAILPOINT_S: Final = 25.0
_SKIPPED_S: Final = 60.0
_VIEW_FAILS: Final = "a view fails"
_VIEW: Final = (
    "CREATE MATERIALIZED VIEW {name} TO {name}_target AS SELECT source_partition AS partition, "
    "source_offset + throwIf({condition}) AS offset FROM events"
)
_HEALS_S: Final = 3.0  # in which a sink sends again what the view lacked
_LOST: Final = "a failpoint says so"
_BUSY_FAILPOINTS: Final = tuple(name for name in failpoints.NAMES if name != "before_commit")
_BETWEEN_HANGS_S: Final = 2.0
_GROUP_S: Final = (1.0, 3.0)  # in which a second process takes over some of the partitions


class Queried(Protocol):
    """What knows the database: a Pipeline."""

    def query(self, sql: str) -> str:
        """One statement."""


class Place(Protocol):
    """Where harm is done: a Site, whose methods say what these do, or as much of one as a test needs."""

    @property
    def supervisor(self) -> Supervisor: ...
    @property
    def pipeline(self) -> Queried: ...
    @property
    def kafka(self) -> ServerProcess: ...
    @property
    def clickhouse(self) -> ServerProcess: ...
    def of(self, kind: str) -> list[Slot]: ...
    def up(self, kind: str) -> list[Slot]: ...
    def ours(self, server: ServerProcess) -> AbstractContextManager[bool]: ...
    def outage(self, server: ServerProcess) -> AbstractContextManager[None]: ...
    def wait_ready(self) -> None: ...
    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Harm:
    """What a fault works with; outage_s: how long a server is away; freeze_s: how long a process is suspended.

    hangs: how often the database hangs; under 2,000 events/s about every second time has a batch under way that is
    answered too late.
    """

    site: Place
    chance: random.Random
    poison: Callable[[random.Random], None]
    clients_paused: Callable[[], AbstractContextManager[None]]
    outage_s: float
    freeze_s: float
    hangs: int

    def pick(self, kind: str) -> Slot | None:
        """One of the running processes of a kind."""
        running = self.site.up(kind)
        return self.chance.choice(running) if running else None

    def wait_ready(self, slot: Slot) -> None:
        """Return once it is, or nobody wants it any more: the other lane may have scaled down."""
        self.site.wait_until(lambda: slot.service.is_ready() or not slot.wanted, f"{slot.name} is ready", _READY_S)


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind. `do` says whether it came about. `beside_kills`: it takes long, so the other lane goes on."""

    name: str
    do: Callable[[Harm], bool]
    beside_kills: bool = False


def kill(kind: str, harm: Harm) -> bool:
    """kill -9 of one process of a kind."""
    slot = harm.pick(kind)
    return slot is not None and harm.site.supervisor.kill(slot)


def kill_one_of_each(harm: Harm) -> bool:
    """kill -9 of a collector, a worker and a sink at once."""
    killed = [kill(kind, harm) for kind in ("collector", "streams", "sinks")]
    return all(killed)


def kill_at(failpoint: str, harm: Harm) -> bool:
    """A sink dies before, during or after an INSERT, or around its plan."""
    return _restart_with(harm, "sinks", {failpoints.VARIABLE: f"{failpoint}:kill:{harm.chance.randint(1, 4)}"})


def kill_before_commit(harm: Harm) -> bool:
    """A sink dies before it acknowledges its last batch: as it does only when nothing more comes."""
    with harm.clients_paused():
        return _restart_with(harm, "sinks", {failpoints.VARIABLE: "before_commit:kill:1"})


def kill_worker_before_states(harm: Harm) -> bool:
    """A worker dies when an epoch's outputs are durable and its states are not."""
    return _restart_with(harm, "streams", {"KILL_BEFORE_STATES": str(harm.chance.randint(1, 3))})


def kill_worker_before_commit(harm: Harm) -> bool:
    """A worker dies when an epoch's states are durable and its offsets are not committed; whoever owns the partitions
    next must be seen to skip its records, which takes a worker that nobody kills before it has said so."""

    def skipped() -> int:
        return harm.site.supervisor.counters.totals()[SKIPPED]

    before = skipped()
    if not _restart_with(harm, "streams", {"KILL_BEFORE_COMMIT": str(harm.chance.randint(1, 3))}):
        return False
    give_up_at = time.monotonic() + _SKIPPED_S
    while skipped() == before and time.monotonic() < give_up_at:
        harm.site.supervisor.check()
        time.sleep(0.1)
    return skipped() > before


def lose_answer(failpoint: str, harm: Harm) -> bool:
    """The answer to an INSERT is lost, before or after the rows are in."""
    return _restart_with(harm, "sinks", {failpoints.VARIABLE: f"{failpoint}:drop:{harm.chance.randint(1, 4)}"})


def reader_lags(harm: Harm) -> bool:
    """An answer is lost, and the server that is then asked what stands cannot tell yet: the sink must wait for it."""
    return _restart_with(
        harm, "sinks", {failpoints.VARIABLE: f"after_insert:drop:1,{failpoints.QUESTION}:drop:1"}, losses=2
    )


def view_fails(harm: Harm) -> bool:
    """A materialized view on events fails for a while, and is mended: it must then have no row twice.

    That the table has none twice, and none set aside, is for the verdict to say.
    """
    name = f"chaos_{harm.chance.getrandbits(32):x}"
    query = harm.site.pipeline.query
    with harm.site.ours(harm.site.clickhouse) as is_ours:
        if not is_ours or not harm.site.clickhouse.running:
            return False
        said = _failures(harm)
        query(
            f"CREATE TABLE {name}_target (partition UInt16, offset UInt64) ENGINE = MergeTree ORDER BY offset "
            "SETTINGS non_replicated_deduplication_window = 1000"
        )
        query(_VIEW.format(name=name, condition="source_offset % 3 = 0"))
        give_up_at = time.monotonic() + _FAILPOINT_S
        while _failures(harm) == said and time.monotonic() < give_up_at:
            harm.site.supervisor.check()
            time.sleep(0.1)
        has_failed = _failures(harm) > said
        query(f"DROP VIEW {name} SYNC")
        query(_VIEW.format(name=name, condition="0"))
        time.sleep(_HEALS_S)
        doubled = int(query(f"SELECT count() - uniqExact(partition, offset) FROM {name}_target"))
        query(f"DROP VIEW {name} SYNC")
        query(f"DROP TABLE {name}_target SYNC")
    if doubled:
        raise AssertionError(f"{doubled} rows stand more than once in a view that was mended")
    return has_failed


def _failures(harm: Harm) -> int:
    return sum(slot.service.said(_VIEW_FAILS) for slot in harm.site.of("sinks"))


def broker_away(harm: Harm, seconds: float | None = None) -> bool:
    """kill -9 of Kafka, away for a while."""
    return _outage(harm, harm.site.kafka, harm.outage_s if seconds is None else seconds)


def database_away(harm: Harm, seconds: float | None = None) -> bool:
    """kill -9 of ClickHouse, away for a while."""
    return _outage(harm, harm.site.clickhouse, harm.outage_s if seconds is None else seconds)


def database_hangs(harm: Harm) -> bool:
    """ClickHouse answers nothing for longer than a sink waits, then everything at once.

    A request that the sink has given up may be answered beside the one that asks whether it was: then only its token
    tells ClickHouse that the rows which come again are the same.
    """
    server = harm.site.clickhouse
    with harm.site.ours(server) as is_ours:
        pid = server.pid
        if not is_ours or pid is None:
            return False
        for _ in range(harm.hangs):
            with harm.site.supervisor.trouble(DATABASE):
                server.suspend()
                time.sleep(REQUEST_S + 1.5)
                server.resume()
            time.sleep(_BETWEEN_HANGS_S)
        return server.pid == pid


def freeze(kind: str, harm: Harm) -> bool:
    """A process is suspended until another owns its partitions, and wakes up believing that they are its own."""
    first, second = harm.site.of(kind)
    if not second.wanted:
        harm.site.supervisor.want(second)
    harm.wait_ready(first)
    harm.wait_ready(second)
    time.sleep(harm.chance.uniform(*_GROUP_S))
    slot = harm.chance.choice((first, second))
    pid = slot.service.pid
    with harm.site.supervisor.suspended(slot):
        time.sleep(harm.freeze_s)
        return pid is not None and slot.service.pid == pid


def add(kind: str, harm: Harm) -> bool:
    """1 → 2 processes of a kind; where there are two already, one goes before."""
    _, second = harm.site.of(kind)
    supervisor = harm.site.supervisor
    if second.wanted:
        supervisor.dismiss(second)
    supervisor.want(second)
    harm.wait_ready(second)
    return second.service.running


def remove(kind: str, harm: Harm) -> bool:
    """2 → 1 processes of a kind, in order or by kill -9; where there is one, another comes before."""
    first, second = harm.site.of(kind)
    supervisor = harm.site.supervisor
    if not second.wanted:
        supervisor.want(second)
    leaving, staying = (first, second) if harm.chance.random() < 0.5 else (second, first)
    harm.wait_ready(staying)
    has_left = supervisor.kill(leaving, restart=False) if harm.chance.random() < 0.5 else _is_dismissed(harm, leaving)
    if leaving is first:
        # The first of a kind always runs: so it comes back, elsewhere as it were, and the other one goes.
        supervisor.want(first)
        harm.wait_ready(first)
        supervisor.dismiss(second)
    return has_left


def rolling_restart(harm: Harm) -> bool:
    """SIGTERM to one of each kind, then to the other; what does not end with 0 is judged as an exit."""
    restarted: set[str] = set()
    for copy in range(COPIES):
        harm.site.wait_ready()
        for kind in ("collector", "streams", "sinks"):
            slot = harm.site.of(kind)[copy]
            if not slot.wanted:
                continue
            if _is_dismissed(harm, slot):
                restarted.add(kind)
            harm.site.supervisor.want(slot)
    harm.site.wait_ready()
    return len(restarted) == 3


def poison(harm: Harm) -> bool:
    """Records on raw_events that no collector writes; there once Kafka has acknowledged them, else this raises."""
    harm.poison(harm.chance)
    return True


def _is_dismissed(harm: Harm, slot: Slot) -> bool:
    was_running = slot.service.running
    harm.site.supervisor.dismiss(slot)
    return was_running


def _restart_with(harm: Harm, kind: str, failpoint: Mapping[str, str], losses: int = 1) -> bool:
    """Whether the process that was started with the failpoint came to it; for how long it may take depends on luck:
    of two sinks one may have nothing to write."""
    slot = harm.pick(kind)
    if slot is None:
        return False
    slot.once = dict(failpoint)
    if not harm.site.supervisor.kill(slot):
        return False
    number = slot.starts
    give_up_at = time.monotonic() + _FAILPOINT_S
    while time.monotonic() < give_up_at:
        harm.site.supervisor.check()
        if slot.died_at_failpoint == number or slot.service.said(_LOST) >= losses:
            return True
        if slot.starts != number or not slot.wanted:
            return False  # the other lane was quicker
        time.sleep(0.1)
    return False


def _outage(harm: Harm, server: ServerProcess, seconds: float) -> bool:
    with harm.site.ours(server) as is_ours:
        if not is_ours or not server.running:
            return False
        with harm.site.outage(server):
            time.sleep(seconds)
        return True


FAULTS: Final[Mapping[str, Fault]] = {
    fault.name: fault
    for fault in (
        Fault("kill_collector", partial(kill, "collector")),
        Fault("kill_worker", partial(kill, "streams")),
        Fault("kill_sink", partial(kill, "sinks")),
        Fault("kill_one_of_each", kill_one_of_each),
        *(Fault(f"kill_sink_at_{name}", partial(kill_at, name), beside_kills=True) for name in _BUSY_FAILPOINTS),
        Fault("kill_worker_before_states", kill_worker_before_states, beside_kills=True),
        Fault("kill_worker_before_commit", kill_worker_before_commit),
        Fault("kill_sink_at_before_commit", kill_before_commit, beside_kills=True),
        Fault("lose_answer_during_insert", partial(lose_answer, "during_insert"), beside_kills=True),
        Fault("lose_answer_after_insert", partial(lose_answer, "after_insert"), beside_kills=True),
        Fault("reader_lags", reader_lags, beside_kills=True),
        Fault("view_fails", view_fails, beside_kills=True),
        Fault("restart_broker", partial(broker_away, seconds=0.0)),
        Fault("broker_away", broker_away, beside_kills=True),
        Fault("restart_database", partial(database_away, seconds=0.0)),
        Fault("database_away", database_away, beside_kills=True),
        Fault("database_hangs", database_hangs, beside_kills=True),
        Fault("freeze_worker", partial(freeze, "streams"), beside_kills=True),
        Fault("freeze_sink", partial(freeze, "sinks"), beside_kills=True),
        Fault("add_worker", partial(add, "streams")),
        Fault("remove_worker", partial(remove, "streams")),
        Fault("add_sink", partial(add, "sinks")),
        Fault("remove_sink", partial(remove, "sinks")),
        Fault("rolling_restart", rolling_restart),
        Fault("poison", poison),
    )
}
# Whatever the dice say, a whole run has each kind.
EVERY: Final = tuple(FAULTS)
# Those of the short run.
SHORT: Final = (
    "poison", "kill_sink_at_after_insert", "restart_broker", "lose_answer_after_insert", "database_hangs",
    "freeze_sink", "view_fails", "reader_lags", "rolling_restart", "kill_worker_before_commit",
)  # fmt: skip
# The other lane: at random, by these weights.
KILLS: Final[Mapping[str, int]] = {
    "kill_worker": 4,
    "kill_worker_before_states": 1,
    "kill_worker_before_commit": 1,
    "kill_sink": 3,
    **{f"kill_sink_at_{name}": 1 for name in _BUSY_FAILPOINTS},
    "kill_collector": 3,
    "kill_one_of_each": 3,
    "add_worker": 1,
    "remove_worker": 1,
    "add_sink": 1,
    "restart_database": 1,
    "restart_broker": 1,
    "poison": 1,
}
