"""The consumer loops of a process: started together, ended together, the first failure ends all."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread

import structlog

from sinks.consume.loop import ConsumerLoop
from sinks.consume.report import Report
from sinks.errors import SinkError
from sinks.write.writer import Writer

log = structlog.get_logger()

_STALLED_S = 120.0  # longer than any one call of a round may block
_SIGNALS_S = 0.2


@dataclass(frozen=True, slots=True)
class Part:
    """A consumer loop with what is asked about it. `owns`: whether a partition is this process's at the moment."""

    topic: str
    loop: ConsumerLoop
    writer: Writer
    report: Report
    joined: Callable[[], bool]
    owns: Callable[[int], bool]
    stopped: Callable[[], str | None] = lambda: None


class Service:
    """Runs the parts until `stopping` is set."""

    def __init__(self, parts: Sequence[Part], stopping: Event, stop_s_max: float, pause_s_max: float) -> None:
        self._parts = parts
        self._stopping = stopping
        self._stop_s_max = stop_s_max
        self._pause_s_max = pause_s_max
        self._failure: BaseException | None = None
        self._started = False

    def run(self) -> BaseException | None:
        """Blocks until all loops have ended or the time for that is up; the answer is what went wrong."""
        for part in self._parts:
            self._verify(part)
        if self._stopping.is_set():
            return None
        threads = [Thread(target=self._run, args=(part,), name=part.topic, daemon=True) for part in self._parts]
        for thread in threads:
            thread.start()
        self._started = True
        # Handlers of signals run on this thread. A process that was suspended may be given its signal on another,
        # which does not wake this one: it has to wake by itself.
        while not self._stopping.wait(_SIGNALS_S):
            pass
        give_up_at = time.monotonic() + self._stop_s_max
        for thread in threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))
        late = [thread.name for thread in threads if thread.is_alive()]
        if late:
            log.warning("not finished in time; the next owner does it again", topics=late)
        return self._failure

    def stalled(self) -> str | None:
        """Which loop makes no rounds."""
        now = time.monotonic()
        for part in self._parts if self._started else ():
            if part.joined() and now - part.report.stepped_at > _STALLED_S:
                return f"{part.topic}: no round for {now - part.report.stepped_at:.0f} s"
        return None

    def unready(self) -> str | None:
        """What is still waited for."""
        if not self._started:
            return "the database has not answered yet"
        stopped = [f"{part.topic}: {text}" for part in self._parts if (text := part.stopped()) is not None]
        if stopped:
            return f"stopped until somebody acts: {'; '.join(stopped)}"
        waiting = [part.topic for part in self._parts if not part.joined()]
        return f"not in the consumer group yet: {', '.join(waiting)}" if waiting else self.stalled()

    def _verify(self, part: Part) -> None:
        """Wait for the database, and raise TableUnfitError when its table is of no use."""
        pause_s = 0.1
        while not self._stopping.is_set():
            try:
                part.writer.verify()
                return
            except SinkError as error:
                if not error.retryable:
                    raise
                log.warning("waiting for the database", topic=part.topic, error=str(error))
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, self._pause_s_max)

    def _run(self, part: Part) -> None:
        try:
            part.loop.run(self._stopping)
        except BaseException as error:  # whatever it is: a loop that is gone must not go unnoticed
            log.exception("a consumer loop failed", topic=part.topic)
            self._failure = self._failure or error
            self._stopping.set()


class Start:
    """What the admin port says before there is a service, and then what the service says."""

    def __init__(self) -> None:
        self.service: Service | None = None
        self._waits_for = "starting"

    def waits(self, reason: str) -> None:
        """The start waits for something."""
        log.warning("waiting for the schema registry", error=reason)
        self._waits_for = reason

    def stalled(self) -> str | None:
        """Waiting is no stall."""
        return self.service.stalled() if self.service else None

    def unready(self) -> str | None:
        """What is still waited for."""
        return self.service.unready() if self.service else self._waits_for
