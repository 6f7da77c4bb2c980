"""What the collector has done, in plain numbers: a Prometheus object a request would be a twentieth of its cost.

`flush` carries them over into the metrics; it is called when they are read.
"""

from collections import Counter

from schemas.metrics import CollectorMetrics


class Counts:
    """Counts of one process since the last flush."""

    def __init__(self, metrics: CollectorMetrics) -> None:
        self._metrics = metrics
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: list[float] = []
        self._events: Counter[int] = Counter()
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._received_bytes = 0

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests[route, status] += 1
        self._seconds.append(seconds)
        if len(self._seconds) >= 10_000:
            self.flush()

    def received(self, body_bytes: int) -> None:
        """A body was read."""
        self._received_bytes += body_bytes

    def events(self, admitted: int, refused: Counter[str], is_durable: bool) -> None:
        """A request's events have come to an end; `refused` counts by reason."""
        total = admitted + refused.total() if refused else admitted
        self._events[total] += 1
        if not is_durable:
            self._outcomes["unavailable", ""] += total
            return
        self._outcomes["accepted", ""] += admitted
        for reason, count in refused.items():
            self._outcomes["dead", reason] += count

    def flush(self) -> None:
        """Carry everything over into the metrics."""
        metrics = self._metrics
        for (route, status), count in self._requests.items():
            metrics.requests_total.labels(route, str(status)).inc(count)
        for (outcome, reason), count in self._outcomes.items():
            metrics.events_total.labels(outcome, reason).inc(count)
        for seconds in self._seconds:
            metrics.request_seconds.observe(seconds)
        for events, count in self._events.items():
            for _ in range(count):
                metrics.request_events.observe(events)
        metrics.received_bytes_total.inc(self._received_bytes)
        self._received_bytes = 0
        for counted in (self._requests, self._outcomes, self._seconds, self._events):
            counted.clear()
