"""One streams worker on a core of its own: warmed up, then measured on records that all lie in the topic already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.settings import Settings
from tests.bench.broker import Broker, Record, wait_until
from tests.bench.loads import Load
from tests.bench.machine import Cost, Meter, rss_mb
from tests.bench.workbench import PinnedService, Workbench

_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What the worker's work cost, and how many session rows and states were written for it."""

    cost: Cost
    sessions: int
    states: int


class Worker:
    """`python -m streams run` on topics of its own. `offsets`: where the measured records begin, by partition."""

    def __init__(self, bench: Workbench, name: str, **overrides: Any) -> None:
        self.settings: Settings = bench.settings(name, **overrides)
        bench.create_topics(self.settings)
        self.broker = Broker(self.settings)
        self.offsets: dict[int, int] = {}
        self.service = PinnedService(bench, "streams", name, self.settings, self.settings.streams_admin_port)
        self._group = self.settings.topic(self.settings.streams_app_id)  # as Faust names it in generation 1

    @property
    def pid(self) -> int:
        """Of the running worker."""
        pid = self.service.pid
        assert pid is not None
        return pid

    def start(self) -> None:
        """Start, and wait until it is ready."""
        self.service.start()

    def stop(self) -> None:
        """End it, with a commit."""
        self.service.stop(30.0)

    def warm_up(self, records: Sequence[Record]) -> None:
        """Feed records and wait until the worker is done with them."""
        self.broker.produce(self.settings.topic("raw_events"), records)
        self._wait("raw_events")
        self._wait("identity_claims")

    def measure(self, load: Load) -> Measured:
        """Feed a load while the worker is suspended, then let it work.

        Wall time ends with the commit of the last raw event, whose outputs and states are durable then; CPU time with
        that of the last identity claim, which comes from those. Suspended for less than the session timeout (15 s),
        the worker stays in its group.
        """
        raw_events = self.settings.topic("raw_events")
        self.offsets = self.broker.ends(raw_events)
        sessions, states = self._written()
        self.service.suspend()
        try:
            self.broker.produce(raw_events, load.records)
            meter = Meter(self.pid)
        finally:
            self.service.resume()
        self._wait("raw_events")
        wall_s = meter.wall_s()
        self._wait("identity_claims")
        cpu_s = meter.cpu_s()
        sessions_after, states_after = self._written()
        cost = Cost(len(load), wall_s, cpu_s)
        return Measured(cost, sessions_after - sessions, states_after - states)

    def rss_mb(self) -> float:
        """Its resident memory."""
        return rss_mb(self.pid)

    def metric(self, sample: str) -> float:
        """The value of one sample of /metrics, named with its labels; 0 when there is none."""
        return self.service.metric(sample)

    def _written(self) -> tuple[int, int]:
        changelog = f"{self._group}-sessions-changelog"
        return self.broker.count(self.settings.topic("sessions")), self.broker.count(changelog)

    def _wait(self, topic: str) -> None:
        name = self.settings.topic(topic)

        def is_done() -> bool:
            if not self.service.running:
                raise RuntimeError(f"the worker has ended:\n{self.service.log_tail()}")
            return self.broker.is_done(self._group, name)

        wait_until(is_done, f"the worker to commit {topic}", _TIMEOUT_S)
