"""Browser traffic as it looks: made up from a seed, as various as production is for caches and readers."""

import json
import random
from dataclasses import dataclass
from typing import Any

import polars as pl

_CHROME = (
    "Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/{major}.0.{build}.{patch}{mobile} Safari/537.36"
)
_SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS {major}_{minor}_{patch} like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/{major}.{minor} Mobile/15E148 Safari/604.1"
)
_FIREFOX = "Mozilla/5.0 ({platform}; rv:{major}.0) Gecko/20100101 Firefox/{major}.0"
_DESKTOPS = ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64")
_REFERRERS = (
    "",
    "",
    "https://www.google.com/",
    "https://www.bing.com/",
    "https://news.ycombinator.com/",
    "https://t.co/aB3xYz",
)
_LOCALES = ("en-US", "de-DE", "fr-FR", "pt-BR", "ja-JP", "en-GB")
_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "America/Sao_Paulo", "Europe/London")


@dataclass(frozen=True)
class Visitor:
    """One browser: what stays the same over its events."""

    anonymous_id: str
    user_agent: str
    ip_address: str
    locale: str
    timezone: str
    campaign: dict[str, str] | None


class Traffic:
    """`visitors` browsers over `agents` user agents and `pages` pages; the same seed makes the same events."""

    def __init__(self, seed: int = 1, visitors: int = 20_000, agents: int = 2_000, pages: int = 3_000) -> None:
        self._random = random.Random(seed)
        self._agents = [self._user_agent() for _ in range(agents)]
        self._pages = [
            (f"/catalogue/{i % 37}/item-{i}", f"Item {i}: a fine thing | Example Shop") for i in range(pages)
        ]
        self._visitors = [self._visitor(number) for number in range(visitors)]
        self._live = [self._random.choice(self._visitors) for _ in range(2_000)]

    def frame(self, rows: int) -> pl.DataFrame:
        """The next `rows` events, in the columns of raw_events that enrichment reads."""
        return pl.DataFrame([self._event() for _ in range(rows)], infer_schema_length=None)

    def _event(self) -> dict[str, str]:
        # A few thousand visitors are active at a time and come and go: each has some events in a row.
        slot = self._random.randrange(len(self._live))
        if self._random.random() < 0.1:
            self._live[slot] = self._random.choice(self._visitors)
        visitor = self._live[slot]
        path, title = self._pages[min(int(self._random.expovariate(1 / 400)), len(self._pages) - 1)]
        search = ""
        if visitor.campaign is not None:
            search = f"?utm_source={visitor.campaign['source']}&utm_medium=cpc&utm_campaign=autumn+sale"
        page = {
            "path": path,
            "referrer": self._random.choice(_REFERRERS),
            "search": search,
            "title": title,
            "url": f"https://shop.example.com{path}{search}",
        }
        context: dict[str, Any] = {"page": page, "userAgent": visitor.user_agent, "locale": visitor.locale}
        context["library"] = {"name": "analytics.js", "version": "next-1.84.3"}
        context["timezone"] = visitor.timezone
        if visitor.campaign is not None:
            context["campaign"] = visitor.campaign
        track = self._random.random() < 0.7
        properties = {"price": self._random.randrange(9_999) / 100, "sku": f"sku-{self._random.randrange(5_000)}"}
        return {
            "event_type": "track" if track else "page",
            "event_name": "Product Viewed" if track else "",
            "anonymous_id": visitor.anonymous_id,
            "ip_address": visitor.ip_address,
            "user_agent": visitor.user_agent,
            "context": json.dumps(context, separators=(",", ":")),
            "properties": json.dumps(properties if track else page, separators=(",", ":")),
        }

    def _visitor(self, number: int) -> Visitor:
        pick = self._random
        campaign = None
        if pick.random() < 0.2:
            campaign = {"source": pick.choice(("google", "newsletter", "meta")), "medium": "cpc", "name": "autumn sale"}
        octets = [pick.randrange(1, 224), *(pick.randrange(256) for _ in range(3))]
        # Heavy tail: a few user agents make most of the traffic.
        agent = self._agents[min(int(pick.expovariate(1 / 200)), len(self._agents) - 1)]
        address = ".".join(map(str, octets))
        return Visitor(f"anon-{number}", agent, address, pick.choice(_LOCALES), pick.choice(_ZONES), campaign)

    def _user_agent(self) -> str:
        pick = self._random
        kind = pick.random()
        if kind < 0.3:
            return _SAFARI.format(major=pick.randrange(15, 27), minor=pick.randrange(8), patch=pick.randrange(1, 5))
        if kind < 0.4:
            return _FIREFOX.format(platform=pick.choice(_DESKTOPS), major=pick.randrange(100, 146))
        mobile = pick.random() < 0.5
        platform = f"Linux; Android {pick.randrange(9, 17)}; SM-{pick.choice('AGS')}{pick.randrange(100, 999)}B"
        return _CHROME.format(
            platform=platform if mobile else pick.choice(_DESKTOPS),
            major=pick.randrange(100, 144),
            build=pick.randrange(5_000, 7_500),
            patch=pick.randrange(10, 250),
            mobile=" Mobile" if mobile else "",
        )
