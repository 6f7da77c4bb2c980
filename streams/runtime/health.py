"""Whether a worker lives, is ready, and gets on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from faust.types import TP


class WorkerStatus(Protocol):
    """What a worker tells of itself while it lives; `App` does."""

    @property
    def crashed(self) -> bool: ...
    @property
    def crash_reason(self) -> BaseException | None: ...
    @property
    def started(self) -> bool: ...
    @property
    def rebalancing(self) -> bool: ...
    @property
    def rebalancing_count(self) -> int: ...
    @property
    def in_recovery(self) -> bool: ...
    @property
    def epochs(self) -> "Progress": ...


class Progress(Protocol):
    """How far the epochs are, in seconds of their clock."""

    last_commit_at: float

    @property
    def topics(self) -> Mapping[str, str]: ...
    def oldest_seconds(self) -> float: ...


class Restored(Protocol):
    """A store that counts what came back to it."""

    restored: int


class Table(Protocol):
    """A table with such a store."""

    @property
    def store(self) -> Restored: ...


class Positions(Protocol):
    """The consumer: what it owns and how far that is."""

    def assignment(self) -> Iterable[TP]: ...
    def highwater(self, tp: TP) -> int | None: ...
    def committed_offset(self, tp: TP) -> int: ...
    def is_at_end(self, tp: TP) -> bool: ...


class Working(WorkerStatus, Protocol):
    """What tells whether a worker gets on."""

    @property
    def state_tables(self) -> Mapping[str, Table]: ...
    @property
    def consumer(self) -> Positions: ...


@dataclass(frozen=True, slots=True)
class Health:
    """What is wrong, if anything. `alive` false means: restart me; `ready` false: not processing yet."""

    alive: bool
    ready: bool
    reason: str


def health(app: WorkerStatus, stuck_s_max: float) -> Health:
    """The worker's condition, from the age of the oldest chunk in flight and the state of recovery."""
    if app.crashed:
        return Health(alive=False, ready=False, reason=f"crashed: {app.crash_reason!r}")
    oldest = app.epochs.oldest_seconds()
    if oldest > stuck_s_max:
        return Health(alive=False, ready=False, reason=f"the oldest chunk has waited {oldest:.0f} s")
    if not app.started:
        return Health(alive=True, ready=False, reason="starting: the projects are read, then the group is joined")
    # Before its first rebalance a worker has no partitions, and Faust calls it neither rebalancing nor recovering.
    if not app.rebalancing_count or app.rebalancing or app.in_recovery:
        return Health(alive=True, ready=False, reason="rebalancing or restoring tables")
    return Health(alive=True, ready=True, reason="ok")


class Stuck:
    """Notices that nothing moves: a consumer that died quietly, as aiokafka's can, or a rebalance that never ends.

    Records wait, and none is committed; or the worker starts, rebalances or restores, and no state comes back. A group
    that changes, or a long restore, is progress.
    """

    def __init__(self, app: Working, stuck_s_max: float, clock: Callable[[], float]) -> None:
        self._app = app
        self._stuck_s_max = stuck_s_max
        self._clock = clock
        self._progress: tuple[float, ...] = ()
        self._since = clock()

    def is_stuck(self) -> bool:
        """Whether there was something to do and no progress for the whole time allowed."""
        app, now = self._app, self._clock()
        restored = sum(table.store.restored for table in app.state_tables.values())
        progress = app.epochs.last_commit_at, restored, app.rebalancing_count
        waits = not app.started or app.rebalancing or app.in_recovery or any(lags(app).values())
        if progress != self._progress or not waits:
            self._progress = progress
            self._since = now
        return now - self._since > self._stuck_s_max


def lags(app: Working) -> dict[tuple[str, int], int]:
    """Records not yet committed, by source's name and partition."""
    found = {}
    names = app.epochs.topics
    for tp in app.consumer.assignment():
        if tp.topic in names:
            end = app.consumer.highwater(tp)
            if end is not None and app.consumer.is_at_end(tp):
                found[names[tp.topic], tp.partition] = 0
            elif end is not None:
                found[names[tp.topic], tp.partition] = max(0, end - app.consumer.committed_offset(tp))
    return found
