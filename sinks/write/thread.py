"""A thread that delivers batches while the consumer's thread fetches on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import perf_counter
from typing import Final, Protocol

from sinks.batching.batch import Batch
from sinks.write.delivery import Receipt

_IDLE_S: Final = 1.0


@dataclass(slots=True, eq=False)
class InFlightWrite:
    """A batch on its way. Exactly one of receipt and error is set at its end."""

    batch: Batch
    planned_at: float
    abandoned: Event = field(default_factory=Event)
    receipt: Receipt | None = None
    error: BaseException | None = None
    seconds: float = 0.0


class InFlightWrites(Protocol):
    """Batches that are delivered, in order, while the consumer's thread does something else."""

    @property
    def in_flight(self) -> int:
        """Those started and not picked up yet."""

    def start(self, batch: Batch, planned_at: float) -> InFlightWrite:
        """Hand a batch over; its plan was committed after the clock said `planned_at`."""

    def finished(self, timeout_s: float = 0.0) -> list[InFlightWrite]:
        """The writes that have finished since the last call; waits at most `timeout_s` for the first."""

    def close(self) -> None:
        """Take nothing more; what was handed over is still delivered."""


class WriteThread:
    """Delivers in the order of `start`; writes that are done are picked up with `finished`.

    `idle` is called now and then when nothing waits, `ended` when nothing will come any more, both on its thread.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[Batch, float, Event], Receipt],
        idle: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._deliver = deliver
        self._idle = idle
        self._ended = ended
        self._waiting: SimpleQueue[InFlightWrite | None] = SimpleQueue()
        self._finished: SimpleQueue[InFlightWrite] = SimpleQueue()
        # A daemon: a request that hangs must not keep the process from ending when its time is up.
        self._thread = Thread(target=self._run, name=f"{name}-writer", daemon=True)
        self._thread.start()
        self.in_flight = 0

    def start(self, batch: Batch, planned_at: float) -> InFlightWrite:
        write = InFlightWrite(batch, planned_at)
        self.in_flight += 1
        self._waiting.put(write)
        return write

    def finished(self, timeout_s: float = 0.0) -> list[InFlightWrite]:
        writes: list[InFlightWrite] = []
        try:
            while self.in_flight:
                wait = timeout_s > 0 and not writes
                writes.append(self._finished.get(block=wait, timeout=timeout_s if wait else None))
                self.in_flight -= 1
        except Empty:
            pass
        return writes

    def close(self) -> None:
        """End the thread after what it is doing."""
        self._waiting.put(None)

    def _run(self) -> None:
        while True:
            try:
                write = self._waiting.get(timeout=_IDLE_S)
            except Empty:
                self._idle()
                continue
            if write is None:
                return self._ended()
            started = perf_counter()
            try:
                write.receipt = self._deliver(write.batch, write.planned_at, write.abandoned)
            except BaseException as error:  # carried to the consumer's thread, which ends the process
                write.error = error
            write.seconds = perf_counter() - started
            self._finished.put(write)
