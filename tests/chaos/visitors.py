"""What a visitor's browser tells: its name, the page, where the visitor came from. With what each must become."""

import random
from typing import Any, Final, NamedTuple


class Agent(NamedTuple):
    """A user agent, and what its makers' documents say that it is."""

    text: str
    device_type: str
    os_name: str
    os_version: str
    browser_name: str
    browser_version: str
    bot_reason: str = ""


AGENTS: Final = (
    Agent(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
        "desktop", "Windows", "10", "Firefox", "127.0",
    ),
    Agent(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/17.5 Mobile/15E148 Safari/604.1",
        "mobile", "iOS", "17.5", "Mobile Safari", "17.5",
    ),
    Agent(
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "", "", "", "Googlebot", "2.1", "user_agent",
    ),
)  # fmt: skip


class Page(NamedTuple):
    """`is_path_sent`: whether the path stands in the context, or follows from the url alone."""

    path: str
    url: str
    title: str
    referrer: str
    is_path_sent: bool

    def sent(self) -> dict[str, str]:
        """As it stands in the context."""
        members = {"referrer": self.referrer, "title": self.title, "url": self.url}
        return {"path": self.path} | members if self.is_path_sent else members


class Campaign(NamedTuple):
    """`in_url`: the campaign stands in the query of the page's url, not in the context."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    in_url: bool = False

    @property
    def query(self) -> str:
        """Of the url."""
        return f"?utm_source={self.source}&utm_medium={self.medium}&utm_campaign={self.campaign}"

    def sent(self) -> dict[str, Any]:
        """As it stands in the context."""
        if self.source is None or self.in_url:
            return {}
        return {"campaign": {"source": self.source, "medium": self.medium, "name": self.campaign}}


def agent_of(visitor: int) -> Agent:
    """Nearly all are people; one in fifty is a robot."""
    return AGENTS[2] if visitor % 50 == 49 else AGENTS[visitor % 2]


def page_of(chance: random.Random) -> Page:
    """One of 500 products."""
    path = f"/products/{chance.randrange(500)}"
    return Page(
        path,
        f"https://shop.example{path}",
        chance.choice(("Café", "Produkt – Größe", "")),
        chance.choice(("", "https://search.example/?q=a%20b")),
        chance.random() < 0.8,
    )


def campaign_of(chance: random.Random) -> Campaign:
    """Most come by themselves."""
    return chance.choice(
        (
            Campaign(),
            Campaign(),
            Campaign("newsletter", "email", "autumn"),
            Campaign("ads", "cpc", "spring", in_url=True),
        )
    )
