"""One run: load, faults in two lanes at once, then quiet, and the verdict."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from tests.chaos.client import Clients
from tests.chaos.faults import EVERY, KILLS, Fault, Harm, rolling_restart
from tests.chaos.poison import Poison
from tests.chaos.site import Sabotage, Site
from tests.chaos.traffic import BATCH_EVENTS, Traffic
from tests.chaos.verdict import Verdict, judge

_HOUR_MS: Final = 3_600_000
# The visitors' time: an hour for so many events, so that sessions end and others begin; no later than the day is over.
_EVENTS_PER_HOUR: Final = 40_000
_START_MS: Final = 24 * _HOUR_MS
_STATIC_SHARE: Final = 0.6
_FRESH_EVENTS: Final = 200
_SETTLE_S: Final = 300.0
_TELL_S: Final = 10.0
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much at least: events accepted, processes killed; how fast, how long. pause_s: longest, between two kills."""

    events: int
    kills: int
    events_per_s: float
    outage_s: float
    freeze_s: float
    pause_s: float
    every: tuple[Fault, ...] = EVERY


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. faults: how often each; exits: processes that ended without being told or killed."""

    seed: int
    seconds: float
    kills: int
    faults: dict[str, int]
    answers: dict[str, int]
    exits: dict[str, int]
    repeats: int
    counted: dict[str, int]
    verdict: Verdict

    def figures(self) -> dict[str, Any]:
        """As JSON: numbers, and the first of what is wrong."""
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
        self.done: Counter[str] = Counter()
        self._calm = threading.Lock()  # held by faults that no kill may disturb
        events_per_hour = max(_EVENTS_PER_HOUR, scale.events / 10)
        self.traffic = Traffic(seed, int(time.time() * 1000) - _START_MS, _HOUR_MS / events_per_hour)
        pipeline = site.pipeline
        self.clients = Clients(
            seed, site.urls, pipeline.write_key, self.traffic.batches(), events_per_s=scale.events_per_s
        )
        self.poison = Poison(site.settings, pipeline.tenant_id, pipeline.project_id)

    def harm(self, name: str) -> Harm:
        """What the faults of a lane work with, dice of their own among it."""
        chance = random.Random(f"{self.seed} {name}")
        return Harm(self.site, chance, self.poison, self.scale.outage_s, self.scale.freeze_s)

    def load_with_faults(self) -> None:
        """Until enough is accepted, enough was killed, and every fault was there."""
        self.clients.start()
        every, kills = lanes = Lane("every fault", self._every), Lane("kills", self._kills)
        started = told = time.monotonic()
        try:
            while len(self.clients.accepted) < self.scale.events or not every.is_over:
                if self.clients.failed or any(lane.error for lane in lanes):
                    break
                time.sleep(0.2)
                if time.monotonic() - told > _TELL_S:
                    told = time.monotonic()
                    now = " + ".join(lane.now for lane in lanes if lane.now and not lane.is_over)
                    accepted, killed = len(self.clients.accepted), self.site.kills
                    self.tell(f"{told - started:4.0f} s  {accepted:>9,} accepted  {killed:>3} kills  {now}")
            while self.site.kills < self.scale.kills and not kills.is_over and not self.clients.failed:
                time.sleep(0.2)
        finally:
            for lane in lanes:
                lane.join()

    def _every(self, lane: Lane) -> None:
        harm = self.harm("every")
        faults = list(self.scale.every)
        harm.chance.shuffle(faults)
        for fault in faults:
            self._do(lane, fault, harm)
            time.sleep(harm.chance.uniform(0.0, self.scale.pause_s))

    def _kills(self, lane: Lane) -> None:
        harm = self.harm("kills")
        faults, weights = list(KILLS), list(KILLS.values())
        while self.scale.kills and not lane.stopping.wait(harm.chance.uniform(0.2, self.scale.pause_s)):
            self._do(lane, harm.chance.choices(faults, weights)[0], harm)

    def _do(self, lane: Lane, fault: Fault, harm: Harm) -> None:
        lane.now = fault.__name__
        with self._calm if fault in KILLS or fault is rolling_restart else nullcontext():
            if fault is rolling_restart:
                self.site.wait_ready()
            fault(harm)
        self.done[fault.__name__] += 1

    def finish(self) -> Verdict:
        """No more faults: all must land, and fresh events too; then the verdict."""
        self.tell("no more faults: waiting until everything has landed")
        self.site.wait_ready()
        self.clients.stop(_SETTLE_S)
        self.site.settle(_SETTLE_S)
        for _ in range(_FRESH_EVENTS // BATCH_EVENTS):
            self.clients.send(self.traffic.batch(BATCH_EVENTS))
        self.site.settle(_SETTLE_S)
        self.tell("comparing")
        return judge(self.site.pipeline, self.clients, self.poison.written)


def prove(
    home: Path,
    kafka: KafkaServer,
    clickhouse: ClickHouseServer,
    name: str,
    seed: int,
    scale: Scale,
    *,
    sabotage: Sabotage | None = None,
    tell: Tell = lambda line: None,
) -> Outcome:
    """One run on these servers, with topics and a database of that name.

    Raises TimeoutError when the pipeline does not come to rest, RestartFailedError when a process does not stop well.
    """
    started = time.monotonic()
    dice = random.Random(f"{seed} static")
    site = Site(home, kafka, clickhouse, name, sabotage or Sabotage(), lambda: dice.random() < _STATIC_SHARE)
    with site:
        site.wait_ready()
        run = Run(site, seed, scale, tell)
        run.load_with_faults()
        verdict = run.finish()
        return Outcome(
            seed=seed,
            seconds=round(time.monotonic() - started, 1),
            kills=site.kills,
            faults=dict(sorted(run.done.items())),
            answers=dict(run.clients.answers),
            exits=dict(site.exits),
            repeats=site.repeats(),
            counted=site.counted(),
            verdict=verdict,
        )
