"""What the collector has done, in plain numbers: Prometheus objects would be a twentieth of a request's cost.

`flush` carries them over into the metrics; it is called when these are read.
"""

import re
from bisect import bisect_left
from collections import Counter
from typing import Final

from prometheus_client import Histogram

from collector.errors import Refusal
from collector.whatsapp.webhook import FIELDS
from schemas.metrics import CollectorMetrics

_FIELDS_MAX: Final = 64
_FIELD: Final = re.compile("[a-z_]{1,50}")
_OTHER_FIELD: Final = "other"


class _Observations:
    """Observations of one histogram that it has not got yet."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._bounds = list(histogram._upper_bounds)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        # There is no public way to hand over many observations at once.
        for bucket, count in zip(self._histogram._buckets, self._counts, strict=True):
            bucket.inc(count)
        self._histogram._sum.inc(self._sum)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0


class Counts:
    """Counts of one process since the last flush."""

    def __init__(self, metrics: CollectorMetrics) -> None:
        self._metrics = metrics
        self._requests: dict[tuple[str, int], int] = {}
        self._refusals: Counter[str] = Counter()
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._seconds = _Observations(metrics.request_seconds)
        self._events = _Observations(metrics.request_events)
        self._accepted = 0
        self._received_bytes = 0
        self._webhooks: Counter[str] = Counter()
        self._items: Counter[tuple[str, str]] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._last_seen: dict[str, float] = {}
        self._delays = _Observations(metrics.whatsapp_delay_seconds)
        self._fields = set(FIELDS)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        key = (route, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        self._seconds.add(seconds)

    def refusal(self, refusal: Refusal) -> None:
        """A request, or a connection, was refused."""
        self._refusals[refusal.name.lower()] += 1

    def events(self, admitted: int, refused: Counter[str], body_bytes: int, is_durable: bool) -> None:
        """A request's events have come to an end; `refused` counts by reason."""
        self._received_bytes += body_bytes
        total = admitted + refused.total() if refused else admitted
        self._events.add(total)
        if not is_durable:
            self._outcomes["unavailable", ""] += total
            return
        self._accepted += admitted
        for reason, count in refused.items():
            self._outcomes["dead", reason] += count

    def webhook(self, result: str) -> None:
        """A webhook's POST was answered: accepted, or the name of a refusal."""
        self._webhooks[result] += 1

    def items(
        self,
        outcomes: Counter[tuple[str, str]],
        tokens: Counter[tuple[str, str]],
        received_at_s: float,
        delay_s: float | None,
    ) -> None:
        """A webhook's items are durable; outcomes: by field; tokens: by number."""
        for (field, outcome), count in outcomes.items():
            name = self._field(field)
            self._items[name, outcome] += count
            self._last_seen[name] = received_at_s
        self._tokens.update(tokens)
        if delay_s is not None:
            self._delays.add(delay_s)

    def _field(self, name: str) -> str:
        """A field as a label: there are about thirty, and a body may name what it likes."""
        if name not in self._fields:
            if len(self._fields) >= _FIELDS_MAX or not _FIELD.fullmatch(name):
                return _OTHER_FIELD
            self._fields.add(name)
        return name

    def flush(self) -> None:
        """Carry everything over into the metrics."""
        metrics = self._metrics
        for (route, status), count in self._requests.items():
            metrics.requests_total.labels(route, str(status)).inc(count)
        for refusal, count in self._refusals.items():
            metrics.refusals_total.labels(refusal).inc(count)
        self._outcomes["accepted", ""] += self._accepted
        for (outcome, reason), count in self._outcomes.items():
            metrics.events_total.labels(outcome, reason).inc(count)
        metrics.received_bytes_total.inc(self._received_bytes)
        for result, count in self._webhooks.items():
            metrics.whatsapp_requests_total.labels(result).inc(count)
        for (field, outcome), count in self._items.items():
            metrics.whatsapp_items_total.labels(field, outcome).inc(count)
        for (number, outcome), count in self._tokens.items():
            metrics.whatsapp_tokens_total.labels(number, outcome).inc(count)
        for field, moment in self._last_seen.items():
            metrics.whatsapp_last_seen_seconds.labels(field).set(moment)
        self._webhooks.clear()
        self._items.clear()
        self._tokens.clear()
        self._delays.flush()
        self._seconds.flush()
        self._events.flush()
        self._accepted = self._received_bytes = 0
        self._requests.clear()
        self._refusals.clear()
        self._outcomes.clear()
