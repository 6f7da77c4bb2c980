"""A thread that delivers batches while the consumer's thread fetches on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import perf_counter
from typing import Final

from sinks.batching.batch import Batch
from sinks.write.delivery import AbandonedError, Receipt

_IDLE_S: Final = 1.0


@dataclass(slots=True, eq=False)
class Flight:
    """A batch on its way. Exactly one of receipt and error is set once it has landed."""

    batch: Batch
    planned_at: float
    abandoned: Event = field(default_factory=Event)
    receipt: Receipt | None = None
    error: BaseException | None = None
    seconds: float = 0.0


class Worker:
    """Delivers in the order of `launch`; landed flights are picked up with `landed`.

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
        self._waiting: SimpleQueue[Flight | None] = SimpleQueue()
        self._landed: SimpleQueue[Flight] = SimpleQueue()
        # A daemon: a request that hangs must not keep the process from ending when its time is up.
        self._thread = Thread(target=self._run, name=f"{name}-writer", daemon=True)
        self._thread.start()
        self.airborne = 0

    def launch(self, batch: Batch, planned_at: float) -> Flight:
        """Hand a batch over; its plan was committed after the clock said `planned_at`."""
        flight = Flight(batch, planned_at)
        self.airborne += 1
        self._waiting.put(flight)
        return flight

    def landed(self, timeout_s: float = 0.0) -> list[Flight]:
        """The flights that have landed since the last call; waits at most `timeout_s` for the first."""
        flights: list[Flight] = []
        try:
            while self.airborne:
                wait = timeout_s > 0 and not flights
                flights.append(self._landed.get(block=wait, timeout=timeout_s if wait else None))
                self.airborne -= 1
        except Empty:
            pass
        return flights

    def close(self) -> None:
        """End the thread after what it is doing."""
        self._waiting.put(None)

    def _run(self) -> None:
        while True:
            try:
                flight = self._waiting.get(timeout=_IDLE_S)
            except Empty:
                self._idle()
                continue
            if flight is None:
                return self._ended()
            started = perf_counter()
            try:
                flight.receipt = self._deliver(flight.batch, flight.planned_at, flight.abandoned)
            except AbandonedError as error:
                flight.error = error
            except BaseException as error:  # carried to the consumer's thread, which ends the process
                flight.error = error
            flight.seconds = perf_counter() - started
            self._landed.put(flight)
