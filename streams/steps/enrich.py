"""enrich: (chunk, lookups) → the chunk with what its contexts, user agents, addresses and URLs tell.

Where each column comes from; where several are named, the first that is there:

    page_*           context.page.{path,url,title,referrer}; on page and screen calls properties.{the same};
                     page_path: the path of page_url
    utm_*            context.campaign.{source,medium,name}; the query of page_url (utm_source, utm_medium, utm_campaign)
    channel_type     context.channel_type, context.channelType: `whatsapp` in any case is whatsapp, all else is web
    external_id      context.external_id, context.externalId (WhatsApp phone id)
    handshake_token  context.handshake_token, context.handshakeToken; on track calls properties.{the same}
    sdk_version      context.library.name, followed by /version when there is one
    country_code …   ip_address
    device_type …    user_agent
    bot_reason       user_agent, see `_bot_reason`

A member of an unexpected type is as if absent. So is an empty one, except within page: an empty referrer there says
that the visitor came from nowhere.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import polars as pl

from schemas.outcomes import BotReason
from streams.lookups import Lookup, Lookups, PageUrl, Place, UserAgent
from streams.steps.documents import Campaign, Context, Handshake, Library, Page, reader

# What browsers run, in lower case: an event of these that has no user agent, or a scripting library's, is made up.
# Events of all other SDKs come from servers and apps, whose user agents say nothing about people.
BROWSER_LIBRARIES = ("analytics.js", "rudderlabs javascript sdk", "@jitsu/js", "tally.js")

_read_contexts = reader(Context)
_read_pages = reader(Page)
_read_handshakes = reader(Handshake)
_NO_PAGE, _NO_LIBRARY, _NO_CAMPAIGN = Page(), Library(), Campaign()

_PAGE_FIELDS = ("path", "url", "title", "referrer")
_UTM_FIELDS = ("utm_source", "utm_medium", "utm_campaign")
# Every spelling of the names handshake_token and handshakeToken has one of these: JSON may escape ASCII letters.
_MAY_HOLD_HANDSHAKE = ["handshake", "\\u00"]


def enrich(frame: pl.DataFrame, lookups: Lookups) -> pl.DataFrame:
    """The same rows in the same order with the columns above added; never raises for what a row holds.

    Reads event_type, ip_address, user_agent, context and properties (JSON texts). Under 2 µs an event.
    """
    contexts = _read_contexts(frame["context"].to_list())
    chunk = frame.with_columns(
        *_page(contexts, frame),
        *_campaign(contexts),
        *_channel(contexts),
        *_library(contexts),
        *_by_distinct(frame["user_agent"], lookups.user_agents, UserAgent._fields),
        *_by_distinct(frame["user_agent"], lookups.robots, ("_robot",)),
        *_by_distinct(frame["ip_address"], lookups.addresses, Place._fields),
    )
    chunk = _with_urls_read(chunk, lookups.urls)
    chunk = _with_handshakes_of_properties(chunk)
    return chunk.with_columns(
        sdk_version=_sdk_version(), bot_reason=_bot_reason(), is_bot=_bot_reason() != BotReason.NONE.value
    ).drop("_robot", "_library", "_library_version")


def _texts(name: str, values: Iterable[str | None]) -> pl.Series:
    return pl.Series(name, list(values), dtype=pl.String)


def _present(column: str) -> pl.Expr:
    """The column's texts, null where empty."""
    return pl.when(pl.col(column) != "").then(pl.col(column))


def _page(contexts: list[Context], frame: pl.DataFrame) -> list[pl.Series]:
    """page_* as far as context and properties name them, '' otherwise."""
    pages = [context.page or _NO_PAGE for context in contexts]
    columns = [_texts(f"page_{field}", map(attrgetter(field), pages)) for field in _PAGE_FIELDS]
    viewed = frame["event_type"].is_in(["page", "screen"])
    incomplete = columns[0].is_null() | columns[1].is_null() | columns[2].is_null() | columns[3].is_null()
    rows = (viewed & incomplete).arg_true()
    if len(rows):
        named = _read_pages(frame["properties"].gather(rows).to_list())
        for column, field in zip(columns, _PAGE_FIELDS, strict=True):
            given = column.gather(rows)
            column.scatter(rows, given.zip_with(given.is_not_null(), _texts(field, map(attrgetter(field), named))))
    return [column.fill_null("") for column in columns]


def _campaign(contexts: list[Context]) -> list[pl.Series]:
    campaigns = [context.campaign or _NO_CAMPAIGN for context in contexts]
    return [
        _texts(column, [getter(campaign) or None for campaign in campaigns])
        for column, getter in zip(_UTM_FIELDS, map(attrgetter, ("source", "medium", "name")), strict=True)
    ]


def _channel(contexts: list[Context]) -> list[pl.Series]:
    channels = [context.channel_type or context.channelType for context in contexts]
    return [
        _texts("channel_type", ["whatsapp" if text and text.lower() == "whatsapp" else "web" for text in channels]),
        _texts("external_id", [context.external_id or context.externalId or None for context in contexts]),
        _texts("handshake_token", [context.handshake_token or context.handshakeToken or None for context in contexts]),
    ]


def _library(contexts: list[Context]) -> list[pl.Series]:
    libraries = [context.library or _NO_LIBRARY for context in contexts]
    return [
        _texts("_library", [library.name or "" for library in libraries]),
        _texts("_library_version", [library.version or "" for library in libraries]),
    ]


def _sdk_version() -> pl.Expr:
    name, version = pl.col("_library"), pl.col("_library_version")
    return pl.when((name == "") | (version == "")).then(name).otherwise(name + "/" + version)


def _by_distinct(column: pl.Series, lookup: Lookup[Any], names: tuple[str, ...]) -> list[pl.Series]:
    """Look each distinct text up once and spread the answers over the rows."""
    # Arrow's dictionary encoding numbers the rows in 0.05 µs each; unique() and a join on text cost twice as much.
    encoded = column.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    rows = pl.Series(encoded.indices)
    found = lookup(encoded.dictionary.to_pylist())
    answers = zip(*found, strict=True) if len(names) > 1 else (found,)
    return [_texts(name, answer).gather(rows) for name, answer in zip(names, answers, strict=True)]


def _with_urls_read(chunk: pl.DataFrame, lookup: Lookup[PageUrl]) -> pl.DataFrame:
    """Fill page_path and utm_* from page_url where they are missing and it can help."""
    url = pl.col("page_url")
    no_campaign = pl.any_horizontal(pl.col(name).is_null() for name in _UTM_FIELDS)
    wanted = ((pl.col("page_path") == "") & (url != "")) | (no_campaign & url.str.contains("utm_", literal=True))
    rows = chunk.select(wanted).to_series().arg_true()
    if not len(rows):
        return chunk
    found = _by_distinct(chunk["page_url"].gather(rows), lookup, PageUrl._fields)
    filled = chunk.select("page_path", *_UTM_FIELDS)
    columns = []
    for name, texts in zip(filled.columns, found, strict=True):
        given = filled[name].gather(rows)
        missing = given.is_null() if name in _UTM_FIELDS else given == ""
        columns.append(filled[name].scatter(rows, texts.zip_with(missing, given)))
    return chunk.with_columns(columns)


def _with_handshakes_of_properties(chunk: pl.DataFrame) -> pl.DataFrame:
    may_hold = pl.col("properties").str.contains_any(_MAY_HOLD_HANDSHAKE)
    wanted = (pl.col("event_type") == "track") & pl.col("handshake_token").is_null() & may_hold
    rows = chunk.select(wanted).to_series().arg_true()
    if not len(rows):
        return chunk
    named = _read_handshakes(chunk["properties"].gather(rows).to_list())
    tokens = _texts("handshake_token", [found.handshake_token or found.handshakeToken or None for found in named])
    return chunk.with_columns(chunk["handshake_token"].scatter(rows, tokens))


def _bot_reason() -> pl.Expr:
    """Why an event of the web channel is a robot's; '' when it is not, and on every other channel.

    - user_agent, headless: the user agent names a robot or a driven browser, whoever sent the event.
    - http_library, user_agent_empty: the library is one that runs in browsers, and no browser has such a user agent.
      Servers' SDKs have them by right (analytics-python, analytics-node), as have events of hand-made HTTP calls.
    """
    robot = pl.col("_robot")
    in_browser = pl.col("_library").str.to_lowercase().is_in(BROWSER_LIBRARIES)
    named = robot.is_in([BotReason.USER_AGENT.value, BotReason.HEADLESS.value])
    made_up = in_browser & (robot == BotReason.HTTP_LIBRARY.value)
    empty = in_browser & (pl.col("user_agent") == "")
    return (
        pl.when(pl.col("channel_type") != "web")
        .then(pl.lit(BotReason.NONE.value))
        .when(named | made_up)
        .then(robot)
        .when(empty)
        .then(pl.lit(BotReason.USER_AGENT_EMPTY.value))
        .otherwise(pl.lit(BotReason.NONE.value))
    )
