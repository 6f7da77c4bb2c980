"""One streams worker on a core of its own: warmed up, then measured on a backlog, or on records at a steady rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.settings import Settings
from schemas.topics import changelog_of, streams_group
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

    @property
    def figures(self) -> dict[str, float]:
        """By the names that lines ask for."""
        return {
            "cpu_us": self.cost.cpu_us,
            "per_s": self.cost.per_s,
            "session_rows": self.sessions / self.cost.events,
            "states": self.states / self.cost.events,
        }


class Worker:
    """`python -m streams run` on topics of its own. `offsets`: where the measured records begin, by partition."""

    def __init__(self, bench: Workbench, name: str, **overrides: Any) -> None:
        self.settings: Settings = bench.settings(name, **overrides)
        bench.create_topics(self.settings)
        self.broker = Broker(self.settings)
        self.offsets: dict[int, int] = {}
        self.service = PinnedService(bench, "streams", name, self.settings, self.settings.streams_admin_port)
        self._group = self.settings.topic(streams_group(self.settings))
        self._changelog = self.settings.topic(changelog_of("raw_events", self.settings))

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
        written = self._written()
        self.service.suspend()
        try:
            self.broker.produce(raw_events, load.records)
            meter = Meter(self.pid)
        finally:
            self.service.resume()
        return self._measured(load, meter, written)

    def measure_paced(self, load: Load, per_s: float) -> Measured:
        """Feed a load at this rate. Wall and CPU time begin with the first record and end as above: nothing is left
        for later.
        """
        written = self._written()
        meter = Meter(self.pid)
        self.broker.pace(self.settings.topic("raw_events"), load.records, per_s)
        return self._measured(load, meter, written)

    def _measured(self, load: Load, meter: Meter, written: tuple[int, int]) -> Measured:
        self._wait("raw_events")
        wall_s = meter.wall_s()
        self._wait("identity_claims")
        cost = Cost(len(load), wall_s, meter.cpu_s(), meter.others_cpu())
        sessions, states = (after - before for after, before in zip(self._written(), written, strict=True))
        return Measured(cost, sessions, states)

    def changelog_ends(self) -> dict[int, int]:
        """The offset that comes next in each partition of the sessions' changelog."""
        return self.broker.ends(self._changelog)

    def changelog_since(self, starts: Mapping[int, int]) -> list[tuple[bytes, bytes]]:
        """Its records (key, value) from these offsets on."""
        return [(record.key() or b"", record.value() or b"") for record in self.broker.read(self._changelog, starts)]

    def rss_mb(self) -> float:
        """Its resident memory."""
        return rss_mb(self.pid)

    def metric(self, sample: str) -> float:
        """The value of one sample of /metrics, named with its labels; 0 when there is none."""
        return self.service.metric(sample)

    def _written(self) -> tuple[int, int]:
        return self.broker.count(self.settings.topic("sessions")), self.broker.count(self._changelog)

    def _wait(self, topic: str) -> None:
        name = self.settings.topic(topic)

        def is_done() -> bool:
            if not self.service.running:
                raise RuntimeError(f"the worker has ended:\n{self.service.log_tail()}")
            return self.broker.is_done(self._group, name)

        wait_until(is_done, f"the worker to commit {topic}", _TIMEOUT_S)
