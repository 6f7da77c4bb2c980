"""Synthetic traffic for benchmarks and tests: visitors of a shop, seeded, with contexts as browsers send them."""

import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

_NAMESPACE: Final = uuid.UUID("0b0e4b26-6c2b-5d0e-8f7e-1d6f3c9a5e11")
_BROWSERS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/{major}.0.{build}.{patch} Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/{major}.{patch} Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {major}_{patch} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/{major}.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-S9{build}) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/{major}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:{major}.0) Gecko/20100101 Firefox/{major}.0",
)
_TRACKED: Final = ("Product Viewed", "Product Added", "Order Completed")
_CAMPAIGNS: Final = (None, None, None, {"source": "newsletter", "medium": "email", "name": "autumn"}, {"source": "ads"})


@dataclass
class Traffic:
    """A seeded source of raw events (records of raw_events.avsc).

    visitors: how many take turns; duplicate_share: how often an event is sent again; identify_share: of identify calls;
    hot_share: of the events that are the first visitor's whoever's turn it is.
    """

    seed: int = 1
    visitors: int = 20_000
    duplicate_share: float = 0.01
    identify_share: float = 0.1
    hot_share: float = 0.0
    population: int = 1  # equal numbers are the same visitors
    start_ms: int = 1_795_000_000_000
    ms_per_event: float = 1.0
    tenant_id: str = str(uuid.uuid5(_NAMESPACE, "tenant"))
    project_id: str = str(uuid.uuid5(_NAMESPACE, "project"))
    _random: random.Random = field(init=False)
    _made: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        agent = self._random
        self._agents = [
            agent.choice(_BROWSERS).format(
                major=agent.randint(90, 140), build=agent.randint(100, 999), patch=agent.randint(0, 99)
            )
            for _ in range(2_000)
        ]

    def records(self, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """`count` pairs of Kafka key and record, duplicates among them, at times after those of earlier calls.

        A duplicate repeats a record of the same call.
        """
        earlier: list[tuple[str, dict[str, Any]]] = []
        for _ in range(count):
            self._made += 1
            if earlier and self._random.random() < self.duplicate_share:
                yield self._random.choice(earlier)
                continue
            pair = self._record(self._made, self._visitor())
            earlier.append(pair)
            if len(earlier) > 10_000:
                del earlier[:5_000]
            yield pair

    def first_visits(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """One pair for each visitor, in their order."""
        for visitor in range(self.visitors):
            self._made += 1
            yield self._record(self._made, visitor)

    def calls(self, count: int) -> Iterator[dict[str, Any]]:
        """`count` track calls as a browser's SDK posts them, without messageId and times, which the sender adds."""
        for _ in range(count):
            visitor = self._random.randrange(self.visitors)
            yield {
                "type": "track",
                "event": self._random.choice(_TRACKED),
                "anonymousId": self._anonymous_id(visitor),
                "properties": self._properties(),
                "context": self._context(visitor, self._path()),
                "integrations": {},
            }

    @property
    def hot_key(self) -> bytes:
        """The Kafka key of the first visitor's events."""
        return self._key(self._anonymous_id(0)).encode()

    def _visitor(self) -> int:
        if self.hot_share and self._random.random() < self.hot_share:
            return 0
        return self._random.randrange(self.visitors)

    def _key(self, anonymous_id: str) -> str:
        return f"{self.tenant_id}/{self.project_id}/v/{anonymous_id}"

    def _record(self, number: int, visitor: int) -> tuple[str, dict[str, Any]]:
        chance = self._random
        anonymous_id = self._anonymous_id(visitor)
        identify = chance.random() < self.identify_share
        at = self.start_ms + int(number * self.ms_per_event)
        event_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        path = self._path()
        is_page = not identify and chance.random() < 0.4
        record = {
            "event_id": event_id,
            "message_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "client_message_id": f"ajs-next-{at}-{event_id}",
            "tenant_id": self.tenant_id,
            "project_id": self.project_id,
            "event_type": "identify" if identify else "page" if is_page else "track",
            "event_name": "" if identify else "Home" if is_page else chance.choice(_TRACKED),
            "timestamp": at,
            "received_at": at + chance.randrange(500),
            "anonymous_id": anonymous_id,
            "user_id": f"user-{visitor}" if identify else None,
            "client_session_id": None,
            "group_id": None,
            "previous_id": None,
            "ip_address": f"{visitor % 200 + 1}.{visitor // 200 % 250}.{visitor % 99}.{visitor % 250}",
            "user_agent": self._agents[visitor % len(self._agents)],
            "properties": json.dumps(self._properties()),
            "context": json.dumps(self._context(visitor, path), separators=(",", ":")),
        }
        return self._key(anonymous_id), record

    def _anonymous_id(self, visitor: int) -> str:
        return str(uuid.uuid5(_NAMESPACE, f"visitor {self.population} {visitor}"))

    def _path(self) -> str:
        return f"/products/{self._random.randrange(5_000)}"

    def _properties(self) -> dict[str, Any]:
        chance = self._random
        return {"price": chance.randrange(100_000) / 100, "sku": f"S-{chance.randrange(9_999)}", "currency": "EUR"}

    def _context(self, visitor: int, path: str) -> dict[str, Any]:
        page = {
            "path": path,
            "url": f"https://shop.example{path}?ref={visitor % 7}",
            "title": "Shop",
            "referrer": "https://search.example/",
            "search": "",
        }
        context: dict[str, Any] = {
            "library": {"name": "analytics.js", "version": "next-1.84.3"},
            "page": page,
            "locale": "en-GB",
            "timezone": "Europe/London",
            "userAgent": self._agents[visitor % len(self._agents)],
            "screen": {"width": 1920, "height": 1080, "density": 2},
        }
        campaign = _CAMPAIGNS[visitor % len(_CAMPAIGNS)]
        return context | {"campaign": campaign} if campaign else context
