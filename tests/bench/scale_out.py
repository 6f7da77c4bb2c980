"""The lines about more workers than one: two really run on the cores there are, and a model of four and eight."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from docker.local.process import free_port
from docker.local.services import Service
from schemas.topics import streams_group
from tests.bench.broker import Broker, wait_until
from tests.bench.lines import Line, require
from tests.bench.loads import Load
from tests.bench.machine import Cost, Meter, Others
from tests.bench.rounds import Arm, Reading, Readings, in_turn, make_line
from tests.bench.verify import verify_streams
from tests.bench.workbench import Workbench

_TWO: Final = ("scale_out_2_events_per_s", "scale_out_2_cpu_us_per_event")
_MODELLED: Final = {4: "scale_out_model_4_events_per_s", 8: "scale_out_model_8_events_per_s"}
NAMES: Final = (*_TWO, *_MODELLED.values())
_TIMEOUT_S: Final = 300.0
_IDLE_S: Final = 3.0
_KEPT: Final = 'tally_streams_records_total{outcome="keep",reason="",topic="raw_events"}'


@dataclass(frozen=True, slots=True)
class Model:
    """Workers with a core each, brokers elsewhere, keys spread evenly over partitions.

    cpu_us: of an event; idle_cores: what a worker takes of its core whatever comes.
    """

    cpu_us: float
    idle_cores: float
    partitions: int

    def events_per_s(self, workers: int) -> float:
        """What they hold: the worker with the most partitions is full first."""
        one = (1 - self.idle_cores) / self.cpu_us * 1e6
        largest_share = math.ceil(self.partitions / workers) / self.partitions
        return one / largest_share


class Workers:
    """So many `python -m streams run` in one group, on all cores, between them the partitions of the same topics."""

    def __init__(self, bench: Workbench, name: str, count: int) -> None:
        self._bench = bench
        self.settings = bench.settings(name)
        bench.create_topics(self.settings)
        self.broker = Broker(self.settings)
        self.services: list[Service] = []
        for number in range(count):
            settings = self.settings.model_copy(update={"streams_admin_port": free_port()})
            home = bench.home / f"{name}-{number}"
            self.services.append(Service("streams", home, settings, settings.streams_admin_port))
        self._group = self.settings.topic(streams_group(self.settings))

    def measure(self, warm_up: Load, load: Load) -> Reading:
        """Warm up, then let them work on a load that was fed while they were suspended."""
        try:
            for service in self.services:
                service.launch()
            for service in self.services:
                service.start()
            self.broker.produce(self.settings.topic("raw_events"), warm_up.records)
            self._wait("raw_events")
            self._wait("identity_claims")
            idle = self._idle_cores()
            reading = self._backlog(load)
        finally:
            for service in self.services:
                service.stop(30.0)
        return Reading({**reading.figures, "idle": idle}, reading.others_cpu)

    def _backlog(self, load: Load) -> Reading:
        kafka = self._bench.kafka.pid
        assert kafka is not None
        kept = [service.metric(_KEPT) for service in self.services]
        for service in self.services:
            service.suspend()
        try:
            self.broker.produce(self.settings.topic("raw_events"), load.records)
            others, broker, meters = Others(), Meter(kafka), self._meters()
            started = time.monotonic()
        finally:
            for service in self.services:
                service.resume()
        self._wait("raw_events")
        wall_s, broker_s = time.monotonic() - started, broker.cpu_s()
        self._wait("identity_claims")
        cost = Cost(len(load), wall_s, sum(meter.cpu_s() for meter in meters), others.share())
        done = [service.metric(_KEPT) - before for service, before in zip(self.services, kept, strict=True)]
        return Reading(figures(cost, broker_s, done), cost.others_cpu)

    def _idle_cores(self) -> float:
        """What one of them takes of a core with nothing to do."""
        meters = self._meters()
        time.sleep(_IDLE_S)
        return sum(meter.cpu_s() for meter in meters) / _IDLE_S / len(meters)

    def _meters(self) -> list[Meter]:
        return [Meter(service.pid) for service in self.services if service.pid is not None]

    def _wait(self, topic: str) -> None:
        name = self.settings.topic(topic)

        def is_done() -> bool:
            for service in self.services:
                if not service.running:
                    raise RuntimeError(f"a worker has ended:\n{service.log_tail()}")
            return self.broker.is_done(self._group, name)

        wait_until(is_done, f"{len(self.services)} workers to commit {topic}", _TIMEOUT_S)


def figures(cost: Cost, broker_s: float, done: list[float]) -> dict[str, float]:
    """Of one round; done: events kept by each worker. Raises WrongOutputError when one had nothing to do."""
    require(min(done) > 0, f"of {len(done)} workers one had nothing to do: {done}")
    return {
        "per_s": cost.per_s,
        "cpu_us": cost.cpu_us,
        "broker_us": broker_s / cost.events * 1e6,
        "largest_share": max(done) / sum(done),
    }


def lines(bench: Workbench, _wanted: frozenset[str]) -> Iterator[Line]:
    """All of `NAMES`."""
    _ = bench.kafka
    bench.place(bench.cores.every)

    def arm(count: int) -> Arm:
        def measure(number: int) -> Reading:
            warm_up, load = bench.load
            workers = Workers(bench, f"of{count}round{number}", count)
            with bench.stage(f"{count} worker(s) on all cores, {len(load):,} events at once"):
                reading = workers.measure(warm_up, load)
            with bench.stage("read the outputs back"):
                verify_streams(workers.broker, workers.settings, warm_up + load)
            return reading

        return measure

    found = in_turn({"one": arm(1), "two": arm(2)}, bench.sizes.rounds, bench.others_before)
    yield from summarise(found, bench.sizes.partitions)


def summarise(found: Mapping[str, Readings], partitions: int) -> Iterator[Line]:
    """The lines of readings of one worker and of two."""
    one, two = found["one"], found["two"]
    note = (
        f"two workers that share {partitions} partitions, a backlog, Kafka and they on all cores of this machine: with "
        f"two cores Kafka ({two.median('broker_us'):.1f} µs an event) takes its part from them; ratio: by one worker "
        f"placed likewise, more is better; the larger share of the events {two.median('largest_share'):.0%}"
    )
    yield make_line(_TWO[0], "events/s", two, "per_s", against=(one, "per_s"), note=note)
    note = "CPU an event of both together; ratio: by that of one worker, less is better: smaller chunks for each"
    yield make_line(_TWO[1], "µs", two, "cpu_us", against=(one, "cpu_us"), note=note)
    for workers, name in _MODELLED.items():
        yield _model(name, workers, one, two, partitions)


def _model(name: str, workers: int, one: Readings, two: Readings, partitions: int) -> Line:
    alone, many = _modelled(one, 1, partitions), _modelled(two, workers, partitions)
    brokers = many.median("per_s") * two.median("broker_us") / 1e6
    note = (
        f"A MODEL, not measured: {workers} workers with a core each, Kafka on others; inputs: "
        f"{two.median('cpu_us'):.1f} µs of CPU an event as two workers took, {two.median('idle'):.3f} of a core for "
        f"each whatever comes, {partitions} partitions of equal load, of which the fullest worker has "
        f"{math.ceil(partitions / workers)}; ratio: by one worker in the same model, at {one.median('cpu_us'):.1f} µs; "
        f"Kafka would take {brokers:.1f} cores, at {two.median('broker_us'):.1f} µs an event"
    )
    return make_line(name, "events/s", many, "per_s", against=(alone, "per_s"), note=note)


def _modelled(found: Readings, workers: int, partitions: int) -> Readings:
    """What the model says of so many workers, by each round."""

    def model(reading: Reading) -> Reading:
        inputs = Model(reading.figures["cpu_us"], reading.figures["idle"], partitions)
        return Reading({"per_s": inputs.events_per_s(workers)}, reading.others_cpu)

    return Readings(tuple(map(model, found.rounds)))
