"""The lines about many sessions: what an event costs among them, what they weigh, how long they take to come back."""

import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from tests.bench.broker import wait_until
from tests.bench.lines import Line, require
from tests.bench.loads import Load, make_load
from tests.bench.machine import Others
from tests.bench.rounds import Arm, Reading, Readings, in_turn, make_line
from tests.bench.verify import verify_streams
from tests.bench.workbench import Workbench
from tests.bench.worker import Worker

_COSTS: Final = ("sessions_cpu_ratio_1m", "sessions_cpu_ratio_1m_spread")
NAMES: Final = ("worker_rss_per_million_sessions_mb", "restore_1m_s", *_COSTS)
MB_PER_MILLION: Final = 2_000  # the states in a worker, and what it wrote while that is held to what was sent
_SLICE: Final = 100_000
_RESTORE_TIMEOUT_S: Final = 300.0
_RESTORED = 'tally_streams_restored{table="sessions"}'
_STATES = 'tally_streams_states{table="sessions"}'


class Sessions:
    """Two workers, one with few live sessions and one with many. Arms: the same amount of work for either."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.few, self.many = bench.sizes.few_sessions, bench.sizes.many_sessions
        self.small, self.large = Worker(bench, "few"), Worker(bench, "many")
        self._known = {self.small: Load([], [], []), self.large: Load([], [], [])}
        self._empty_start_s = 0.0
        self._passed_s = self.many / 1000  # of event time, by the visits
        self._ago_s = max(3_600.0, self._passed_s + 1_800)  # when these begin: no event is to be in the future

    def start(self) -> None:
        """Start both, and let each see one event of each of its visitors."""
        started = time.monotonic()
        self.small.start()
        self._empty_start_s = time.monotonic() - started
        self.large.start()
        for worker, count in ((self.small, self.few), (self.large, self.many)):
            with self._bench.stage(f"{count:,} sessions"):
                visits = self._bench.traffic(count, ago_s=self._ago_s).first_visits()
                while part := make_load(islice(visits, _SLICE)):
                    worker.warm_up(part.records)
                    self._known[worker] += part.without_records()
        states = self.large.metric(_STATES)
        require(states == self.many, f"{states:,.0f} states are held, should be {self.many:,}")

    def stop(self) -> None:
        """End both."""
        self.small.stop()
        self.large.stop()

    def weight(self, _number: int) -> Reading:
        """What the further states weigh, MiB a million, of workers that have done nothing since but restore theirs.

        One that was fed a million events has worked for that; the other has not.
        """
        fed_mb = self.large.rss_mb()
        for worker, count in ((self.small, self.few), (self.large, self.many)):
            worker.stop()
            with self._bench.stage(f"restore {count:,} states"):
                self._restore(worker, count)
        mb = self.large.rss_mb() - self.small.rss_mb()
        return Reading({"mb": mb / (self.many - self.few) * 1e6, "fed_mb": fed_mb, "held_mb": self.large.rss_mb()}, 0.0)

    def restore(self, _number: int) -> Reading:
        """Start the large worker again, until it is ready and has its states."""
        worker = self.large
        worker.stop()
        with self._bench.stage(f"restore {self.many:,} states"):
            others, started = Others(), time.monotonic()
            self._restore(worker, self.many)
            seconds = time.monotonic() - started
        figures = {"s": seconds, "records": worker.metric(_RESTORED), "empty_s": self._empty_start_s}
        return Reading(figures, others.share())

    @staticmethod
    def _restore(worker: Worker, states: int) -> None:
        worker.start()
        # Ready is said after restoring; the states are counted lest it be said before.
        wait_until(lambda: worker.metric(_STATES) == states, "the states", _RESTORE_TIMEOUT_S, 0.2)

    def arm(self, worker: Worker, visitors: int) -> Arm:
        """Events of so many visitors, after the visits, going on from round to round."""
        bench, sizes = self._bench, self._bench.sizes
        traffic = bench.traffic(visitors, seed=visitors, ago_s=self._ago_s - self._passed_s)
        text = f"{sizes.events:,} events of {visitors:,} sessions"

        def measure(number: int) -> Reading:
            with bench.stage(f"{text} among {self.many if worker is self.large else self.few:,}"):
                if number == 0:
                    warm_up = make_load(traffic.records(sizes.warm_up))
                    worker.warm_up(warm_up.records)
                    self._known[worker] += warm_up.without_records()
                load = make_load(traffic.records(sizes.events))
                measured = worker.measure(load)
                self._known[worker] += load.without_records()
            return Reading(measured.figures, measured.cost.others_cpu)

        return measure

    def verify(self) -> None:
        """What both have written. Raises WrongOutputError."""
        with self._bench.stage("read the outputs back"):
            for worker, load in self._known.items():
                verify_streams(worker.broker, worker.settings, load)


def lines(bench: Workbench, wanted: frozenset[str]) -> Iterator[Line]:
    """All of `NAMES`; the costs are left out unless they are wanted."""
    _ = bench.kafka  # started before servers get their cores
    bench.place(bench.cores.others)
    sessions, rounds = Sessions(bench), bench.sizes.rounds
    try:
        sessions.start()
        yield _weight(in_turn({"weight": sessions.weight}, 1, bench.others_before)["weight"], sessions)
        yield _restore(in_turn({"restore": sessions.restore}, rounds, bench.others_before)["restore"], sessions)
        if wanted & {*_COSTS}:
            arms = {
                "few": sessions.arm(sessions.small, sessions.few),
                "narrow": sessions.arm(sessions.large, sessions.few),
                "spread": sessions.arm(sessions.large, sessions.many),
            }
            found = in_turn(arms, rounds, bench.others_before)
            sessions.verify()
            yield from _costs(found, sessions)
    finally:
        sessions.stop()


def _weight(found: Readings, sessions: Sessions) -> Line:
    more = sessions.many - sessions.few
    note = (
        f"RSS of a worker with {more:,} more sessions than another, both just restored, MiB a million; one event each; "
        f"the larger has {found.median('held_mb'):,.0f} MiB in all, and {found.median('fed_mb'):,.0f} after it was fed "
        "them as a backlog"
    )
    return make_line("worker_rss_per_million_sessions_mb", "MiB", found, "mb", note=note)


def _restore(found: Readings, sessions: Sessions) -> Line:
    note = (
        f"start of a process to ready, {sessions.many:,} states from {found.median('records'):,.0f} changelog records; "
        f"an empty worker takes {found.median('empty_s'):.1f} s of that"
    )
    return make_line("restore_1m_s", "s", found, "s", note=note)


def _costs(found: Mapping[str, Readings], sessions: Sessions) -> Iterator[Line]:
    few, many = f"{sessions.few:,}", f"{sessions.many:,}"
    base, narrow, spread = found["few"], found["narrow"], found["spread"]
    note = (
        f"events of {few} visitors while {many} sessions are live; CPU an event; ratio: by that of the same traffic "
        f"where only those {few} are live, less is better"
    )
    yield make_line(_COSTS[0], "µs", narrow, "cpu_us", against=(base, "cpu_us"), note=note)
    note = (
        f"events spread evenly over {many} live sessions, {spread.median('session_rows'):.2f} session rows an event "
        f"instead of {narrow.median('session_rows'):.2f}; CPU an event; ratio: by that of {few} visitors, {few} live"
    )
    yield make_line(_COSTS[1], "µs", spread, "cpu_us", against=(base, "cpu_us"), note=note)
