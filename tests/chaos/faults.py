"""The faults: each does its harm and waits until what it took away is being put right. Which and when, dice decide."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from sinks import failpoints
from tests.chaos.site import Site, Slot

Fault = Callable[["Harm"], None]
_LOST_ANSWERS: Final = ("during_insert", "after_insert")
_READY_S: Final = 120.0
_FAILPOINT_S: Final = 15.0


class RestartFailedError(AssertionError):
    """A process that was told to stop in order did not end with 0."""


@dataclass(frozen=True, slots=True)
class Harm:
    """What a fault works with; outage_s: how long a server is away; freeze_s: how long a process is suspended."""

    site: Site
    chance: random.Random
    poison: Callable[[random.Random], None]
    outage_s: float
    freeze_s: float

    def pick(self, kind: str) -> Slot | None:
        """One of the running processes of a kind."""
        running = self.site.up(kind)
        return self.chance.choice(running) if running else None


def kill_collector(harm: Harm) -> None:
    """kill -9 of one of two collectors."""
    _kill(harm, "collector")


def kill_worker(harm: Harm) -> None:
    """kill -9 of a worker."""
    _kill(harm, "streams")


def kill_sink(harm: Harm) -> None:
    """kill -9 of a sink."""
    _kill(harm, "sinks")


def kill_one_of_each(harm: Harm) -> None:
    """kill -9 of a collector, a worker and a sink at once."""
    for kind in ("collector", "streams", "sinks"):
        _kill(harm, kind)


def kill_at_failpoint(harm: Harm) -> None:
    """kill -9 of a sink before, during or after an INSERT, or around a commit."""
    name = harm.chance.choice(failpoints.NAMES)
    number = 1 if name == "before_commit" else harm.chance.randint(1, 4)
    _restart_sink_with(harm, f"{name}:kill:{number}")


def lose_answer(harm: Harm) -> None:
    """The answer to an INSERT is lost, before or after the rows are in."""
    _restart_sink_with(harm, f"{harm.chance.choice(_LOST_ANSWERS)}:drop:{harm.chance.randint(1, 4)}")


def restart_broker(harm: Harm) -> None:
    """kill -9 of Kafka, started again at once."""
    _outage(harm, harm.site.kafka, 0.0)


def broker_outage(harm: Harm) -> None:
    """kill -9 of Kafka, away for a while."""
    _outage(harm, harm.site.kafka, harm.outage_s)


def restart_database(harm: Harm) -> None:
    """kill -9 of ClickHouse, started again at once."""
    _outage(harm, harm.site.clickhouse, 0.0)


def database_outage(harm: Harm) -> None:
    """kill -9 of ClickHouse, away for a while."""
    _outage(harm, harm.site.clickhouse, harm.outage_s)


def database_hangs(harm: Harm) -> None:
    """ClickHouse answers nothing for a while."""
    harm.site.clickhouse.suspend()
    time.sleep(harm.outage_s / 2)
    harm.site.clickhouse.resume()


def freeze_worker(harm: Harm) -> None:
    """A worker is suspended until another owns its partitions, and wakes up believing that they are its own."""
    _freeze(harm, "streams")


def freeze_sink(harm: Harm) -> None:
    """A sink is suspended until another owns its partitions."""
    _freeze(harm, "sinks")


def scale_workers(harm: Harm) -> None:
    """1 → 2 → 1 workers."""
    _scale(harm, "streams")


def scale_sinks(harm: Harm) -> None:
    """1 → 2 → 1 sinks."""
    _scale(harm, "sinks")


def rolling_restart(harm: Harm) -> None:
    """SIGTERM to each process in turn; each must end with 0."""
    for kind in ("collector", "streams", "sinks"):
        for slot in harm.site.up(kind):
            if (code := harm.site.dismiss(slot)) != 0:
                raise RestartFailedError(
                    f"{slot.name} ended with {code} when told to stop\n{slot.service.log_tail(40)}"
                )
            harm.site.want(slot)
            harm.site.wait_until(slot.service.is_ready, f"{slot.name} is ready again", _READY_S)


def poison(harm: Harm) -> None:
    """Records on raw_events that no collector writes."""
    harm.poison(harm.chance)


def _kill(harm: Harm, kind: str) -> None:
    if (slot := harm.pick(kind)) is not None:
        harm.site.kill(slot)


def _restart_sink_with(harm: Harm, failpoint: str) -> None:
    slot = harm.pick("sinks")
    if slot is None:
        return
    slot.once = {failpoints.VARIABLE: failpoint}
    harm.site.kill(slot)
    # Until it has come to its failpoint; not for ever, since with two sinks it may have nothing to write.
    give_up_at = time.monotonic() + _FAILPOINT_S
    started: int | None = None
    while time.monotonic() < give_up_at and (started is None or slot.service.pid == started):
        started = started or slot.service.pid
        time.sleep(0.2)


def _outage(harm: Harm, server: KafkaServer | ClickHouseServer, seconds: float) -> None:
    harm.site.kill_server(server)
    time.sleep(seconds)
    server.start()


def _freeze(harm: Harm, kind: str) -> None:
    first, second = harm.site.of(kind)
    if not second.wanted:
        harm.site.want(second)
        # The other lane may scale down meanwhile: then nobody is to be waited for.
        harm.site.wait_until(
            lambda: second.service.is_ready() or not second.wanted, f"{second.name} is ready", _READY_S
        )
        time.sleep(harm.chance.uniform(1.0, 3.0))  # it takes over some of the partitions
    with harm.site.freezing(harm.chance.choice((first, second))):
        time.sleep(harm.freeze_s)


def _scale(harm: Harm, kind: str) -> None:
    first, second = harm.site.of(kind)
    if not second.wanted:
        harm.site.want(second)
        return
    leaving, staying = (first, second) if harm.chance.random() < 0.5 else (second, first)
    harm.site.wait_until(staying.service.is_ready, f"{staying.name} is ready", _READY_S)
    if harm.chance.random() < 0.5:
        harm.site.dismiss(leaving)
    else:
        leaving.wanted = False
        harm.site.kill(leaving)
    if leaving is first:
        # The first of a kind always runs: so it comes back, elsewhere as it were, and the other one goes.
        harm.site.want(first)
        harm.site.wait_until(first.service.is_ready, f"{first.name} is ready again", _READY_S)
        harm.site.dismiss(second)


# Whatever the dice say, a run has each of these once; the numbers weigh the others.
EVERY: Final[tuple[Fault, ...]] = (
    scale_workers, poison, rolling_restart, freeze_worker, broker_outage, database_outage, lose_answer, freeze_sink,
    scale_sinks, database_hangs, kill_at_failpoint, restart_broker, restart_database, kill_one_of_each, scale_workers,
    poison, scale_sinks,
)  # fmt: skip
KILLS: Final[Mapping[Fault, int]] = {
    kill_worker: 6,
    kill_sink: 3,
    kill_at_failpoint: 4,
    kill_collector: 3,
    kill_one_of_each: 3,
    scale_workers: 2,
    scale_sinks: 1,
    restart_database: 1,
    restart_broker: 1,
    poison: 1,
}
