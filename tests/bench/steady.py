"""A steady stream of batches to a collector, on time whatever it answers, and the moments at which rows are seen."""

import base64
import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

from docker.local.process import HOST
from tests.bench.lines import require_equal
from tests.bench.load_generator import MARK
from tests.bench.traffic import Traffic

EVENTS_PER_REQUEST: Final = 20
_SENDERS: Final = 32  # each starts when none is free
_BODIES: Final = 100
_MARGIN_S: Final = 3.0  # the clocks of events and of this process are not one
_AT: Final = "##"  # where the time of sending belongs


class Sender:
    """Posts batches of `events` each; the first event of each is its sample, named by `sample`."""

    def __init__(self, port: int, write_key: str, traffic: Traffic, events: int = EVENTS_PER_REQUEST) -> None:
        self.run = uuid.uuid4().hex[:12]
        self.due: dict[str, float] = {}  # sample → when its request was due to be sent, by time.monotonic
        self.answered: dict[str, float] = {}  # sample → when the collector's answer came
        self._port = port
        basic = base64.b64encode(f"{write_key}:".encode()).decode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Basic {basic}"}
        self._bodies = [_body(traffic, events) for _ in range(_BODIES)]
        self._local = threading.local()

    def sample(self, request: int) -> str:
        """The messageId of a request's sampled event."""
        return f"{self.run}-{request}-0"

    def send(self, requests: Iterable[int], per_s: float) -> float:
        """Post the numbered requests at this rate; the seconds it took. Raises WrongOutputError for another answer.

        A request that waits for a free sender was due all the same: `due` hides no delay of ours or of the collector.
        """
        started = time.monotonic()
        count = 0
        with ThreadPoolExecutor(_SENDERS) as senders:
            posts = []
            for count, request in enumerate(requests, 1):
                self.due[self.sample(request)] = time.monotonic()
                posts.append(senders.submit(self._post, request))
                time.sleep(max(0.0, started + count / per_s - time.monotonic()))
            for post in posts:
                post.result()
        return time.monotonic() - started

    def _post(self, request: int) -> None:
        connection = self._connection()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = self._bodies[request % len(self._bodies)].replace(MARK, f"{self.run}-{request}").replace(_AT, now)
        connection.request("POST", "/v1/batch", body, self._headers)
        answer = connection.getresponse()
        answer.read()
        self.answered[self.sample(request)] = time.monotonic()
        require_equal("the collector's answer", answer.status, 200)

    def _connection(self) -> http.client.HTTPConnection:
        """This thread's."""
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection(HOST, self._port, timeout=30)
        connection: http.client.HTTPConnection = self._local.connection
        return connection


def _body(traffic: Traffic, events: int) -> str:
    batch = [
        call | {"messageId": f"{MARK}-{place}", "timestamp": _AT} for place, call in enumerate(traffic.calls(events))
    ]
    return json.dumps({"batch": batch, "sentAt": _AT}, separators=(",", ":"))


class Watcher:
    """Asks again and again which samples can be queried, in a thread of its own.

    `ask`: (seconds back from now that are of interest) → samples. A sample counts as seen when the answer that names it
    has come, so what is measured is too long by half an interval, never too short.
    """

    def __init__(self, ask: Callable[[float], Iterable[str]], due: Mapping[str, float], interval_s: float) -> None:
        self.seen: dict[str, float] = {}
        self._ask = ask
        self._due = due
        self._interval_s = interval_s
        self._ending = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. Raises what went wrong."""
        self._ending.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._ending.wait(self._interval_s):
                samples = self._ask(self._oldest_s() + _MARGIN_S)
                now = time.monotonic()
                for sample in samples:
                    self.seen.setdefault(sample, now)
        except BaseException as error:
            self._failure = error

    def _oldest_s(self) -> float:
        """How long ago the first request was due whose sample is not seen yet."""
        now = time.monotonic()
        return max((now - at for sample, at in list(self._due.items()) if sample not in self.seen), default=0.0)
