"""Clients as SDKs are: each request is sent again until it is answered 200. What got a 200 is the oracle."""

import base64
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from tests.chaos.batches import Batch, Event, Refused

SENDERS: Final = 24
_TIMEOUT_S: Final = 15.0
_PAUSE_S: Final = (0.1, 1.0)  # an SDK would heed Retry-After: this one presses harder
_ASK_AGAIN: Final = frozenset({429, 503})
_IMPATIENT_SHARE: Final = 0.01
_PATH: Final = "/v1/batch"


class Clients:
    """Sends batches at a rate to any of the collectors, as a load balancer would, until told to stop.

    accepted: events whose request was answered 200, by the client's message id. unsure: events of clients that gave up
    after one try, so that they may be stored once or not at all. answers: how often each status, and requests without
    an answer.
    """

    def __init__(
        self, seed: int, urls: Sequence[str], write_key: str, batches: Iterator[Batch], events_per_s: float
    ) -> None:
        self.accepted: dict[str, Event] = {}
        self.unsure: dict[str, Event] = {}
        self.refused: dict[str, Refused] = {}
        self.unsure_refused: dict[str, Refused] = {}
        self.answers: Counter[str] = Counter()
        self.sent = 0
        self.began_ms = 0
        self.wrong: list[str] = []  # answers that no client should get, whatever happens to the servers
        self._places = [urlsplit(url).netloc for url in urls]
        basic = base64.b64encode(f"{write_key}:".encode()).decode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Basic {basic}"}
        self._batches = batches
        self._events_per_s = events_per_s
        self._lock = threading.Lock()
        self._due = 0.0
        self._stopping = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self.failed: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed} {number}"),), daemon=True)
            for number in range(SENDERS)
        ]

    def start(self) -> None:
        """Send from now on."""
        self.began_ms = time.time_ns() // 1_000_000
        self._due = time.monotonic()
        for thread in self._threads:
            thread.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No new batch is begun while it lasts."""
        self._going.clear()
        try:
            yield
        finally:
            self._going.set()

    def stop(self, timeout_s: float) -> None:
        """Take no more batches, and return when those begun are answered. Raises TimeoutError."""
        self._stopping.set()
        give_up_at = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))
            if thread.is_alive():
                raise TimeoutError(
                    f"after {timeout_s:.0f} s a request still has no 200; answers so far: {self.answers}"
                )
        if self.failed is not None:
            raise self.failed

    def send(self, batch: Batch) -> None:
        """One batch, now, until it is answered 200."""
        self._send(batch, random.Random(0), {}, patient=True)

    def try_once(self, batch: Batch) -> None:
        """One batch, now, and not again."""
        self._send(batch, random.Random(0), {}, patient=False)

    def _run(self, chance: random.Random) -> None:
        connections: dict[str, http.client.HTTPConnection] = {}
        try:
            while not self._stopping.is_set():
                self._going.wait()
                with self._lock:
                    batch = next(self._batches)
                    pause_s = self._due - time.monotonic()
                    # What an outage held up is not made up for all at once.
                    self._due = max(self._due, time.monotonic() - 1.0) + len(batch.events) / self._events_per_s
                if pause_s > 0:
                    time.sleep(pause_s)
                self._send(batch, chance, connections, patient=chance.random() >= _IMPATIENT_SHARE)
        except BaseException as error:
            self.failed = error
        finally:
            for connection in connections.values():
                connection.close()

    def _send(
        self, batch: Batch, chance: random.Random, connections: dict[str, http.client.HTTPConnection], *, patient: bool
    ) -> None:
        while True:
            place = chance.choice(self._places)
            connection = connections.setdefault(place, http.client.HTTPConnection(place, timeout=_TIMEOUT_S))
            answer = self._exchange(connection, batch)
            with self._lock:
                self.answers[answer] += 1
                if answer == "200" or not patient:
                    self._book(batch, accepted=answer == "200")
                    return
            time.sleep(chance.uniform(*_PAUSE_S))

    def _exchange(self, connection: http.client.HTTPConnection, batch: Batch) -> str:
        """The status, or the kind of failure."""
        try:
            connection.request("POST", _PATH, batch.body, self._headers)
            answer = connection.getresponse()
            text = answer.read()
        except TimeoutError:
            connection.close()
            return "no answer in time"
        except (OSError, http.client.HTTPException):
            connection.close()
            return "connection lost"
        if answer.status != 200 and answer.status not in _ASK_AGAIN:
            self.wrong.append(f"{answer.status} {text[:200].decode(errors='replace')}")
        return str(answer.status)

    def _book(self, batch: Batch, *, accepted: bool) -> None:
        self.sent += len(batch.events)
        events, refused = (self.accepted, self.refused) if accepted else (self.unsure, self.unsure_refused)
        for event in batch.events:
            events[event.message_id] = event
        refused.update({event.message_id: event for event in batch.refused})
