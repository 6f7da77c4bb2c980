"""What visitors of a shop do, seeded: batches as SDKs post them, and what the sender of each event knows of its row."""

import json
import random
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from tests.chaos.visitors import AGENTS, Agent, agent_of, campaign_of, page_of

BATCH_EVENTS: Final = 50
CONVERSION: Final = "Order Completed"
_NAMES: Final = ("Product Viewed", "Product Added", CONVERSION, "Größe gewählt ✓", "Signed In")
_TYPES: Final[Mapping[str, int]] = {"page": 50, "track": 38, "identify": 8, "screen": 2, "group": 1, "alias": 1}
_DUPLICATE_SHARE: Final = 0.02
_REFUSED_SHARE: Final = 0.002
_HANDSHAKE_SHARE: Final = 0.004
_SDK_ID_SHARE: Final = 0.3  # of events whose messageId is no UUID
_HOT_SHARE: Final = 0.5
# A key remembers 10,000 message ids: as many events of one visitor may lie between an event and its repeat.
_HOT_EVENTS: Final = 8_000
_RECENT: Final = 2_000
# JSON as different writers write it: what stands in the body must stand in the row, byte for byte.
_SPACING: Final = ((",", ":"), (", ", ": "), (" ,", " :"))
_REFUSED: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({"type": "levitate"}, "type_unknown"),
    ({"type": "track"}, "event_not_string"),
    ({"type": "track", "event": 7}, "event_not_string"),
    ({"type": "group"}, "group_id_missing"),
)


class Event(NamedTuple):
    """An event as sent, and the columns of `events` that what was sent decides. Timestamp in ms since 1970.

    `message_id` is the client's own text. `properties` and `context` are the JSON texts in the body.
    """

    message_id: str
    event_type: str
    event_name: str
    timestamp: int
    anonymous_id: str
    user_id: str | None
    group_id: str | None
    previous_id: str | None
    properties: str
    context: str
    page_path: str
    page_url: str
    page_title: str
    page_referrer: str
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    channel_type: str
    external_id: str | None
    handshake_token: str | None
    sdk_version: str
    ip_address: str
    agent: Agent


class Refused(NamedTuple):
    """An event that must become a dead letter of the collector: its message id, bytes and reason."""

    message_id: str
    payload: bytes
    reason: str


class Batch(NamedTuple):
    """A request: its body, its events (repeats among them), and those of its events that must be refused."""

    body: bytes
    events: list[Event]
    refused: list[Refused]


class Batches:
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
        bodies: list[str] = []
        refused: list[Refused] = []
        for _ in range(size):
            draw = self._chance.random()
            if draw < _REFUSED_SHARE:
                refused.append(self._refused())
                bodies.append(refused[-1].payload.decode())
                continue
            repeated = self._recent and draw > 1 - _DUPLICATE_SHARE
            event = self._chance.choice(self._recent) if repeated else self._event()
            events.append(event)
            bodies.append(_body(event))
        return Batch(f'{{"batch":[{",".join(bodies)}]}}'.encode(), events, refused)

    def _visitor(self) -> int:
        number = self._made
        if number // _HOT_EVENTS % 2 and self._chance.random() < _HOT_SHARE:
            return -(number // _HOT_EVENTS)
        newest = number // 2_000 * 40 + 300
        return self._chance.randrange(0 if self._chance.random() < 0.1 else newest - 300, newest)

    def _event(self) -> Event:
        self._made += 1
        at = self._start_ms + int(self._made * self._ms_per_event) - self._chance.randrange(2_000)
        is_handshake = self._chance.random() < _HANDSHAKE_SHARE
        event = self._handshake(at) if is_handshake else self._visit(at, self._visitor())
        self._recent.append(event)
        return event

    def _visit(self, at: int, visitor: int) -> Event:
        chance = self._chance
        kind = chance.choices(tuple(_TYPES), tuple(_TYPES.values()))[0]
        name = {"page": "Home", "screen": "Start", "track": chance.choice(_NAMES)}.get(kind, "")
        named = kind in ("identify", "alias") or name == "Signed In"
        anonymous_id = f"visitor-{self._seed}-{visitor}"
        return self._sent(
            event_type=kind,
            event_name=name,
            timestamp=at,
            anonymous_id=anonymous_id,
            user_id=f"user-{self._seed}-{visitor}" if named else None,
            group_id=f"group-{visitor % 7}" if kind == "group" else None,
            previous_id=f"{anonymous_id}-before" if kind == "alias" else None,
            properties=self._properties(kind),
            agent=agent_of(visitor),
            ip_address=f"203.0.113.{visitor % 250}",
        )

    def _handshake(self, at: int) -> Event:
        """A visitor of the web site, or a user of WhatsApp, shows a token that few others show."""
        token = f"token-{self._seed}-{self._made // 1_000}-{self._chance.randrange(3)}"
        is_web = self._chance.random() < 0.5
        number = self._chance.randrange(10**6)
        return self._sent(
            event_type="track",
            event_name="Handshake",
            timestamp=at,
            anonymous_id=f"visitor-{self._seed}-h{number}" if is_web else "",
            user_id=None if is_web else f"user-{self._seed}-h{number}",
            channel_type="web" if is_web else "whatsapp",
            external_id=None if is_web else f"+49 170 {number}",
            handshake_token=token,
            properties="{}",
            agent=AGENTS[0],
            ip_address="2001:db8::7",
        )

    def _properties(self, kind: str) -> str:
        chance = self._chance
        members: dict[str, Any] = {"price": chance.choice((19.9, 5, 1e21)), "label": 'Café \u2014 "au lait"\n'}
        if kind == "identify":
            members = {"plan": chance.choice(("free", "pro"))}
            if chance.random() < 0.2:
                members["password"] = "12345"  # kept with the event, and never in `identities`
        return json.dumps(members, separators=chance.choice(_SPACING), ensure_ascii=chance.random() < 0.5)

    def _sent(self, **given: Any) -> Event:
        """An event with a context around what is given."""
        chance = self._chance
        number = uuid.UUID(int=chance.getrandbits(128), version=4)
        page, utm = page_of(chance), campaign_of(chance)
        if utm.in_url:
            page = page._replace(url=page.url + utm.query)
        fields: dict[str, Any] = {
            "message_id": f"ajs-next-{number.hex}" if chance.random() < _SDK_ID_SHARE else str(number),
            "group_id": None,
            "previous_id": None,
            "channel_type": "web",
            "external_id": None,
            "handshake_token": None,
            "sdk_version": "analytics.js/2.11.1",
            "page_path": page.path,
            "page_url": page.url,
            "page_title": page.title,
            "page_referrer": page.referrer,
            "utm_source": utm.source,
            "utm_medium": utm.medium,
            "utm_campaign": utm.campaign,
            **given,
        }
        context = {
            "page": page.sent(),
            "library": {"name": "analytics.js", "version": "2.11.1"},
            "userAgent": fields["agent"].text,
            "ip": fields["ip_address"],
            "locale": chance.choice(("de-DE", "日本語")),
            **utm.sent(),
            **{name: fields[name] for name in ("external_id", "handshake_token") if fields[name]},
            **({"channel_type": "WhatsApp"} if fields["channel_type"] == "whatsapp" else {}),
        }
        text = json.dumps(context, separators=chance.choice(_SPACING), ensure_ascii=chance.random() < 0.5)
        return Event(context=text, **fields)

    def _refused(self) -> Refused:
        """An event that the collector keeps as a dead letter."""
        broken, reason = self._chance.choice(_REFUSED)
        number = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        return Refused(number, json.dumps({"messageId": number, "anonymousId": "v"} | broken).encode(), reason)


def _body(event: Event) -> str:
    """The event as JSON; properties and context as the texts they are."""
    members: dict[str, Any] = {
        "messageId": event.message_id,
        "type": event.event_type,
        "anonymousId": event.anonymous_id or None,
        "userId": event.user_id,
        "groupId": event.group_id,
        "previousId": event.previous_id,
        "timestamp": datetime.fromtimestamp(event.timestamp / 1_000, UTC).isoformat(timespec="milliseconds"),
        "event" if event.event_type == "track" else "name": event.event_name or None,
    }
    given = json.dumps({name: value for name, value in members.items() if value is not None})
    own = "traits" if event.event_type in ("identify", "group", "alias") else "properties"
    return f'{given[:-1]},"{own}":{event.properties},"context":{event.context}}}'
