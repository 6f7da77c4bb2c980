"""One run: load, faults in two lanes at once, then quiet, and the verdict."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from streams.topology import rules
from tests.chaos.batches import BATCH_EVENTS, Batches
from tests.chaos.client import Clients
from tests.chaos.expected import Sent
from tests.chaos.faults import EVERY, FAULTS, KILLS, Fault, Harm
from tests.chaos.poison import Poison
from tests.chaos.site import Sabotage, Site
from tests.chaos.tables import read_tables
from tests.chaos.verdict import Verdict, judge

TEST_SEED: Final = int(os.environ.get("TEST_SEED", "20261124"))
_HOUR_MS: Final = 3_600_000
# The visitors' time: an hour for so many events, so that sessions end and others begin; no later than the day is over.
_EVENTS_PER_HOUR: Final = 40_000
_START_MS: Final = 23 * _HOUR_MS  # less than the lateness bound: sessions of long ago have other names
_STATIC_SHARE: Final = 0.6
_FRESH_EVENTS: Final = 200
_SETTLE_S: Final = 300.0
_TELL_S: Final = 10.0
_TRIES: Final = 4  # of a fault that does not come about: the other lane was quicker, or a process had nothing to do
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much at least: events accepted, processes killed; how fast, how long. pause_s: longest, between two kills.

    every: the faults that must come about, by name.
    """

    events: int
    kills: int
    events_per_s: float
    outage_s: float
    freeze_s: float
    pause_s: float
    hangs: int = 2
    every: tuple[str, ...] = EVERY


def tried(do: Callable[[], bool], wait_for_processes: Callable[[], None]) -> bool:
    """Whether it came about in one of the tries.

    What was just killed may not run again yet: without the wait all tries would be over in a moment.
    """
    for _ in range(_TRIES):
        if do():
            return True
        wait_for_processes()
    return False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. fired: how often each fault came about; exits: processes that nobody had told to end."""

    seed: int
    seconds: float
    kills: int
    fired: dict[str, int]
    answers: dict[str, int]
    exits: dict[str, int]
    repeats: int
    counted: dict[str, int]
    verdict: Verdict

    def figures(self) -> dict[str, Any]:
        """As JSON: numbers, and how much of each kind is wrong."""
        verdict = asdict(self.verdict)
        lists = {name: len(value) for name, value in verdict.items() if isinstance(value, list)}
        own = {name: value for name, value in asdict(self).items() if name != "verdict"}
        counts = {name: value for name, value in verdict.items() if isinstance(value, int)}
        return own | counts | lists | {"ledger_difference": self.verdict.ledger.get("difference")}


class Lane:
    """A thread that does faults, one after another."""

    def __init__(self, name: str, run: Callable[["Lane"], None]) -> None:
        self.stopping = threading.Event()
        self.error: BaseException | None = None
        self.now = ""
        self._thread = threading.Thread(target=self._guarded, args=(run,), name=name, daemon=True)
        self._thread.start()

    def _guarded(self, run: Callable[["Lane"], None]) -> None:
        try:
            run(self)
        except BaseException as error:
            self.error = error

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end."""
        return not self._thread.is_alive()

    def join(self) -> None:
        """Return at its end. Raises what a fault raised."""
        self.stopping.set()
        self._thread.join()
        if self.error is not None:
            raise self.error


class Run:
    """Everything about one run."""

    def __init__(self, site: Site, seed: int, scale: Scale, tell: Tell) -> None:
        self.site = site
        self.seed = seed
        self.scale = scale
        self.tell = tell
        self.fired: Counter[str] = Counter()
        self._calm = threading.Lock()  # held by faults that no kill may disturb
        events_per_hour = max(_EVENTS_PER_HOUR, scale.events / 10)
        self.batches = Batches(seed, int(time.time() * 1000) - _START_MS, _HOUR_MS / events_per_hour)
        pipeline = site.pipeline
        self.clients = Clients(
            seed, site.urls, pipeline.write_key, self.batches.batches(), events_per_s=scale.events_per_s
        )
        self.poison = Poison(site.settings, pipeline.tenant_id, pipeline.project_id)

    def harm(self, name: str) -> Harm:
        """What the faults of a lane work with, dice of their own among it."""
        chance = random.Random(f"{self.seed} {name}")
        scale = self.scale
        return Harm(self.site, chance, self.poison, self.clients.paused, scale.outage_s, scale.freeze_s, scale.hangs)

    def load_with_faults(self) -> None:
        """Until enough is accepted, enough was killed, and every fault was there. Raises what ended a thread."""
        self.clients.start()
        every, kills = lanes = Lane("every fault", self._every), Lane("kills", self._kills)
        started = told = time.monotonic()
        try:
            while self._goes_on(lanes) and not self._is_enough(every):
                time.sleep(0.2)
                if time.monotonic() - told > _TELL_S:
                    told = time.monotonic()
                    self._tell_progress(told - started, lanes)
            while self._goes_on(lanes) and self.site.supervisor.kills < self.scale.kills and not kills.is_over:
                time.sleep(0.2)
        finally:
            for lane in lanes:
                lane.join()
        self.site.supervisor.check()

    def _is_enough(self, every: Lane) -> bool:
        return len(self.clients.accepted) >= self.scale.events and every.is_over

    def _goes_on(self, lanes: tuple[Lane, ...]) -> bool:
        """Whether nothing has ended that must not. The supervisor's failure is raised at once: it tells everything."""
        self.site.supervisor.check()
        return not self.clients.failed and not any(lane.error for lane in lanes)

    def _tell_progress(self, seconds: float, lanes: tuple[Lane, ...]) -> None:
        now = " + ".join(lane.now for lane in lanes if lane.now and not lane.is_over)
        accepted, kills = len(self.clients.accepted), self.site.supervisor.kills
        self.tell(f"{seconds:4.0f} s  {accepted:>9,} accepted  {kills:>3} kills  {now}")

    def _every(self, lane: Lane) -> None:
        harm = self.harm("every")
        names = list(self.scale.every)
        harm.chance.shuffle(names)
        for name in names:
            tried(partial(self._do, lane, FAULTS[name], harm), self._wait_for_processes)
            time.sleep(harm.chance.uniform(0.0, self.scale.pause_s))

    def _wait_for_processes(self) -> None:
        kinds = ("collector", "streams", "sinks")
        self.site.wait_until(lambda: all(map(self.site.up, kinds)), "a process of each kind runs", _SETTLE_S)

    def _kills(self, lane: Lane) -> None:
        harm = self.harm("kills")
        names, weights = list(KILLS), list(KILLS.values())
        while self.scale.kills and not lane.stopping.wait(harm.chance.uniform(0.2, self.scale.pause_s)):
            self._do(lane, FAULTS[harm.chance.choices(names, weights)[0]], harm)

    def _do(self, lane: Lane, fault: Fault, harm: Harm) -> bool:
        lane.now = fault.name
        with nullcontext() if fault.beside_kills else self._calm:
            has_fired = fault.do(harm)
        self.fired[fault.name] += has_fired
        return has_fired

    def finish(self, meddle: "Meddle | None") -> Verdict:
        """No more faults: all must land, and fresh events too; then the verdict."""
        self.tell("no more faults: waiting until everything has landed")
        self.site.wait_ready()
        self.clients.stop(_SETTLE_S)
        self.site.settle(_SETTLE_S)
        for _ in range(_FRESH_EVENTS // BATCH_EVENTS):
            self.clients.send(self.batches.batch(BATCH_EVENTS))
        self.site.settle(_SETTLE_S)
        self.site.pipeline.run("sinks", "rollups", "refresh", timeout_s=_SETTLE_S)
        if meddle is not None:
            meddle(self)
        self.tell("comparing")
        not_fired = [name for name in self.scale.every if not self.fired[name]]
        exits = self.site.supervisor.unexplained()
        return judge(self._sent(), read_tables(self.site.pipeline), exits=exits, not_fired=not_fired)

    def _sent(self) -> Sent:
        clients, pipeline, settings = self.clients, self.site.pipeline, self.site.settings
        return Sent(
            tenant_id=pipeline.tenant_id,
            project_id=pipeline.project_id,
            rules=rules(settings).sessions,
            secrets=frozenset(settings.streams_secret_traits.split(",")),
            accepted=clients.accepted,
            unsure=clients.unsure,
            refused=clients.refused,
            unsure_refused=clients.unsure_refused,
            poison=self.poison.letters,
            wrong_answers=clients.wrong,
            began_ms=clients.began_ms,
            ended_ms=time.time_ns() // 1_000_000,
        )


Meddle = Callable[[Run], None]


def prove(
    home: Path,
    kafka: KafkaServer,
    clickhouse: ClickHouseServer,
    name: str,
    seed: int,
    scale: Scale,
    *,
    sabotage: Sabotage | None = None,
    meddle: Meddle | None = None,
    tell: Tell = lambda line: None,
) -> Outcome:
    """One run on these servers, with topics and a database of that name. For controls: `sabotage`, a safeguard taken
    away; `meddle`, called when all has come to rest.

    Raises TimeoutError with the logs when the pipeline does not come to rest or a process does not stop,
    SupervisorFailedError when nobody restarts the processes any more.
    """
    started = time.monotonic()
    dice = random.Random(f"{seed} static")
    site = Site(home, kafka, clickhouse, name, sabotage or Sabotage(), lambda: dice.random() < _STATIC_SHARE)
    with site:
        site.wait_ready()
        run = Run(site, seed, scale, tell)
        run.load_with_faults()
        verdict = run.finish(meddle)
        supervisor = site.supervisor
        return Outcome(
            seed=seed,
            seconds=round(time.monotonic() - started, 1),
            kills=supervisor.kills,
            fired=dict(sorted(run.fired.items())),
            answers=dict(run.clients.answers),
            exits=dict(Counter(f"{ending.kind} {ending.code}" for ending in supervisor.endings)),
            repeats=site.repeats(),
            counted=supervisor.counters.totals(),
            verdict=verdict,
        )
