"""What visitors of a shop do, seeded: batches as SDKs post them, and what each must become."""

import json
import random
import uuid
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

BATCH_EVENTS: Final = 50
CONVERSION: Final = "Order Completed"
_NAMES: Final = ("Product Viewed", "Product Added", CONVERSION)
_DUPLICATE_SHARE: Final = 0.02
_REFUSED_SHARE: Final = 0.002
_HOT_SHARE: Final = 0.5
# A key remembers 10,000 message ids: as many events of one visitor may lie between an event and its repeat.
_HOT_EVENTS: Final = 8_000
_RECENT: Final = 2_000
_CAMPAIGNS: Final = (None, None, {"source": "newsletter", "medium": "email", "name": "autumn"})


class Event(NamedTuple):
    """An event as sent; timestamp in ms since 1970."""

    message_id: str
    anonymous_id: str
    user_id: str | None
    event_type: str
    event_name: str
    timestamp: int
    traits: str
    path: str
    referrer: str
    campaign: dict[str, str] | None


class Batch(NamedTuple):
    """A request: its body, its events (repeats among them), and the message ids of those that must be refused."""

    body: bytes
    events: list[Event]
    refused: list[str]


class Traffic:
    """Batches without end. Visitors come in waves, some come back hours later; for half of the time one of them is hot.

    start_ms: the time of the first event; ms_per_event: how time passes.
    """

    def __init__(self, seed: int, start_ms: int, ms_per_event: float) -> None:
        self._chance = random.Random(seed)
        self._seed = seed
        self._start_ms = start_ms
        self._ms_per_event = ms_per_event
        self._made = 0
        self._recent: deque[Event] = deque(maxlen=_RECENT)

    def batches(self) -> Iterator[Batch]:
        """One after another."""
        while True:
            yield self.batch(BATCH_EVENTS)

    def batch(self, size: int) -> Batch:
        """The next `size` events."""
        events: list[Event] = []
        bodies: list[dict[str, Any]] = []
        refused: list[str] = []
        for _ in range(size):
            draw = self._chance.random()
            if draw < _REFUSED_SHARE:
                bodies.append(self._refused())
                refused.append(bodies[-1]["messageId"])
                continue
            repeated = self._recent and draw > 1 - _DUPLICATE_SHARE
            event = self._chance.choice(self._recent) if repeated else self._event()
            events.append(event)
            bodies.append(_body(event))
        return Batch(json.dumps({"batch": bodies}, separators=(",", ":")).encode(), events, refused)

    def _visitor(self) -> int:
        number = self._made
        if number // _HOT_EVENTS % 2 and self._chance.random() < _HOT_SHARE:
            return -(number // _HOT_EVENTS)
        newest = number // 2_000 * 40 + 300
        return self._chance.randrange(0 if self._chance.random() < 0.1 else newest - 300, newest)

    def _event(self) -> Event:
        chance = self._chance
        self._made += 1
        visitor = self._visitor()
        at = self._start_ms + int(self._made * self._ms_per_event) - chance.randrange(2_000)
        kind = chance.choices(("page", "track", "identify"), (5, 4, 1))[0]
        user = f"user-{self._seed}-{visitor}" if kind == "identify" else None
        event = Event(
            message_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            anonymous_id=f"visitor-{self._seed}-{visitor}",
            user_id=user,
            event_type=kind,
            event_name={"page": "Home", "track": chance.choice(_NAMES), "identify": ""}[kind],
            timestamp=at,
            traits=f'{{"plan":"{chance.choice(("free", "pro"))}"}}' if user else "{}",
            path=f"/products/{chance.randrange(500)}",
            referrer=chance.choice(("", "https://search.example/")),
            campaign=chance.choice(_CAMPAIGNS),
        )
        self._recent.append(event)
        return event

    def _refused(self) -> dict[str, Any]:
        """An event that the collector keeps as a dead letter."""
        broken = self._chance.choice(({"type": "levitate"}, {"type": "track"}, {"type": "track", "event": 7}))
        return {"messageId": str(uuid.UUID(int=self._chance.getrandbits(128), version=4)), "anonymousId": "v"} | broken


def _body(event: Event) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messageId": event.message_id,
        "type": event.event_type,
        "anonymousId": event.anonymous_id,
        "timestamp": datetime.fromtimestamp(event.timestamp / 1_000, UTC).isoformat(timespec="milliseconds"),
        "context": {"page": {"path": event.path, "referrer": event.referrer}},
    }
    if event.campaign:
        body["context"]["campaign"] = event.campaign
    match event.event_type:
        case "page":
            body["name"] = event.event_name
        case "track":
            body["event"] = event.event_name
        case _:
            body |= {"userId": event.user_id, "traits": json.loads(event.traits)}
    return body
