"""What enrichment knows about user agents, addresses and URLs; each a pure function behind a bounded cache."""

from dataclasses import dataclass
from pathlib import Path

from schemas.outcomes import BotReason
from schemas.settings import PREFIX, Settings, SettingsError
from streams.events.lookups import robots, user_agents
from streams.events.lookups.addresses import Place, Places, open_places
from streams.events.lookups.cache import CachedLookup, Lookup
from streams.events.lookups.urls import PageUrl, parse_url
from streams.events.lookups.user_agents import UserAgent

# The longest texts that are remembered; longer ones are answered anew each time.
_USER_AGENT_LENGTH_MAX = 1_000  # the longest of 10,000 real ones has 300 characters
_ADDRESS_LENGTH_MAX = 64  # the longest spelling of an IPv6 address has 45, without its zone
_URL_LENGTH_MAX = 2_048
_URL_CACHE_MAX = 20_000  # URLs with campaigns are few, or all different: a larger cache would not help

__all__ = ["CachedLookup", "Lookup", "Lookups", "PageUrl", "Place", "UserAgent", "open_lookups"]


@dataclass(frozen=True)
class Lookups:
    """The lookups of `enrich`, each called with the distinct texts of a chunk."""

    user_agents: Lookup[UserAgent]
    robots: Lookup[BotReason]
    addresses: Lookup[Place]
    urls: Lookup[PageUrl]

    def all(self) -> tuple[Lookup[UserAgent], Lookup[BotReason], Lookup[Place], Lookup[PageUrl]]:
        """Every lookup: what the cache metrics are read from."""
        return self.user_agents, self.robots, self.addresses, self.urls


def open_lookups(settings: Settings) -> Lookups:
    """Open the databases and compile the lists that the settings name.

    Raises SettingsError with one line for each file that is missing or is not what it should be.
    """
    problems: list[str] = []
    places: Places | None = None
    try:
        places = open_places(
            settings.streams_geo_country_path, settings.streams_geo_city_path, settings.streams_geo_city_v6_path
        )
    except SettingsError as error:
        problems += error.problems
    path = settings.streams_bot_signatures_path
    classify = None
    try:
        classify = robots.classifier(robots.read_signatures(Path(path)) if path else robots.builtin_signatures())
    except robots.SignaturesError as error:
        problems.append(f"{PREFIX}STREAMS_BOT_SIGNATURES_PATH: {error}")
    if problems or places is None or classify is None:
        raise SettingsError(problems)
    agents_max, addresses_max = settings.streams_user_agent_cache_max, settings.streams_address_cache_max
    return Lookups(
        user_agents=CachedLookup("user_agents", user_agents.parser(), agents_max, _USER_AGENT_LENGTH_MAX),
        robots=CachedLookup("robots", classify, agents_max, _USER_AGENT_LENGTH_MAX),
        addresses=CachedLookup("addresses", places, addresses_max, _ADDRESS_LENGTH_MAX),
        urls=CachedLookup("urls", parse_url, _URL_CACHE_MAX, _URL_LENGTH_MAX),
    )
