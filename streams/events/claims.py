"""Find the events that tie a visitor to a user: the claims of identity_claims. Pure.

Few events may be one: they are picked out of the columns, and then taken one by one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from schemas import keys, whatsapp
from schemas.link_sources import ALIAS, CHAT, HANDSHAKE, IDENTIFY, LOGIN, WEB
from schemas.placeholders import is_placeholder
from schemas.project_settings import ByProject, ProjectSettings
from streams.events.whatsapp import Told, fit

# Names of the logins in Segment's and RudderStack's event specifications, lower case.
_LOGIN_NAMES: Final = frozenset(("signed in", "logged in", "login", "sign in", "user signed in", "user logged in"))
_LOGIN_CHARS_MAX: Final = max(map(len, _LOGIN_NAMES))
CLAIM_COLUMNS: Final = (
    "source_offset", "source_partition", "tenant_id", "project_id", "anonymous_id", "user_id", "handshake_token",
    "link_source", "linked_at", "traits", "handshake_side", "session_id", "phone_number_id", "customer", "expires_at",
    "fact_id",
)  # fmt: skip
_OF_EVENT: Final = ("source_offset", "source_partition", "tenant_id", "project_id", "index")
_LOOKED_AT: Final = (
    "tenant_id", "project_id", "event_type", "event_name", "properties",
    "anonymous_id", "user_id", "previous_id", "handshake_token",
)  # fmt: skip
_NO_TRAITS: Final = "{}"
_NO_WORDS: Final[frozenset[str]] = frozenset()
_NOTHING_OWN: Final[Mapping[str, frozenset[str]]] = {}


class _Found(NamedTuple):
    """What a claim says; `row` is the place of its event."""

    row: int
    anonymous_id: str
    user_id: str
    handshake_token: str
    link_source: str
    traits: str
    key: str
    handshake_side: str = ""
    session_id: str = ""
    phone_number_id: str = ""
    customer: str = ""
    expires_at: int | None = None
    fact_id: str = ""


class PlaceholderIds(ByProject):
    """Which ids name nobody in a project, besides those that do in every one."""

    def __init__(self) -> None:
        super().__init__(ProjectSettings.placeholder_words)


class LoginEvents(ByProject):
    """Which track events are a login in a project, besides those of the specifications."""

    def __init__(self) -> None:
        super().__init__(lambda settings: settings.login_events)


def claims(
    frame: pl.DataFrame,
    own_placeholders: Mapping[str, frozenset[str]],
    of_whatsapp: Sequence[Told] = (),
    own_logins: Mapping[str, frozenset[str]] = _NOTHING_OWN,
) -> pl.DataFrame:
    """The identity claims among enriched rows: `CLAIM_COLUMNS`, `index`, and `key`, the claim's Kafka key.

    identify and login events with both ids; alias, whose previousId is taken for the visitor; and events with a
    handshake token. These say under the token's key which ids were seen with it, and when they know both sides, under
    the visitor's key that these two belong together. Ids and tokens that name nobody are as if absent; those of
    `own_placeholders`, by project id, too; so are the names of `own_logins` logins.

    Those of `of_whatsapp` claim by what is in `_of_whatsapp` alone: their visitors and users are customers.
    """
    linked: list[_Found] = []
    seen: list[_Found] = []
    for one in of_whatsapp:
        linked += _of_whatsapp(one, frame["session_id"][one.row])
    others = {one.row for one in of_whatsapp}
    rows = [row for row in _may_claim(frame) if row not in others]
    places = pl.Series(rows, dtype=pl.UInt32)  # indexing by a list takes five times as long
    columns = (frame[name][places].to_list() for name in _LOOKED_AT)
    for row, tenant_id, project_id, event_type, event_name, properties, *ids in zip(rows, *columns, strict=True):
        own = own_placeholders.get(project_id, _NO_WORDS)
        anonymous_id, user_id, previous_id, token = (_somebody(text, own) for text in ids)
        is_login = event_type == "track" and _is_login(event_name, own_logins.get(project_id, _NO_WORDS))
        source = _link_source(event_type, is_login, anonymous_id, user_id, previous_id, token)
        visitor = previous_id if source == ALIAS else anonymous_id
        if source and visitor and user_id:
            traits = properties if event_type == "identify" else _NO_TRAITS
            key = f"{tenant_id}{keys.OF_VISITOR}{visitor}"
            linked.append(_Found(row, visitor, user_id, token, source, traits, key))
        if source == HANDSHAKE:
            key = f"{tenant_id}{keys.OF_HANDSHAKE}{token}"
            seen.append(_Found(row, visitor, user_id, token, source, _NO_TRAITS, key))
    return _to_frame(frame, linked + seen)


def _of_whatsapp(one: Told, session_id: str) -> Iterator[_Found]:
    """What an event of WhatsApp claims: that a token was minted for a visitor, or came with a message of a customer;
    that a customer is a user of the integrator's, or was another one until then."""
    token_key = f"{one.tenant_id}{keys.OF_HANDSHAKE}{one.handshake_token}"
    members, customer = one.members, f"{whatsapp.USER_PREFIX}{one.customer}"
    if one.origin == whatsapp.ORIGIN_HANDSHAKE:
        if one.handshake_token and one.anonymous_id:
            told = one.anonymous_id, one.user_id, one.handshake_token, HANDSHAKE, _NO_TRAITS, token_key
            yield _Found(one.row, *told, WEB, session_id, expires_at=members.expires_at)
        return
    if not one.customer:
        return
    if one.handshake_token and one.origin == whatsapp.ORIGIN:
        told = "", customer, one.handshake_token, HANDSHAKE, _NO_TRAITS, token_key
        yield _Found(one.row, *told, CHAT, "", one.number, one.customer, None, one.fact_id)
    former = ""
    if one.origin == whatsapp.ORIGIN and one.event_name == whatsapp.USER_CHANGED:
        former = fit(whatsapp.customer_id(members.previous_customer or ""))
    user = customer if former else one.user_id if one.is_of_chat else ""
    visitor = f"{whatsapp.USER_PREFIX}{former}" if former else customer
    if user and user != visitor and not is_placeholder(user):
        key = f"{one.tenant_id}{keys.OF_VISITOR}{visitor}"
        yield _Found(one.row, visitor, user, "", ALIAS, _NO_TRAITS, key)


def _may_claim(frame: pl.DataFrame) -> list[int]:
    """The places of the rows that are looked at."""
    columns = (frame[name].to_list() for name in ("event_type", "user_id", "handshake_token"))
    return [
        row
        for row, (event_type, user_id, token) in enumerate(zip(*columns, strict=True))
        if token is not None or (user_id is not None if event_type == "track" else event_type in ("identify", "alias"))
    ]


def _link_source(event_type: str, is_login: bool, anonymous_id: str, user_id: str, previous_id: str, token: str) -> str:
    """By what an event ties its ids; '' when it does not."""
    if event_type == "alias" and previous_id and user_id:
        return ALIAS
    if token and (anonymous_id or user_id):
        return HANDSHAKE
    if anonymous_id and user_id:
        if event_type == "identify":
            return IDENTIFY
        if is_login:
            return LOGIN
    return ""


def _is_login(event_name: str, own: frozenset[str]) -> bool:
    return event_name in own or (len(event_name) <= _LOGIN_CHARS_MAX and event_name.lower() in _LOGIN_NAMES)


def _somebody(text: str | None, own: frozenset[str]) -> str:
    """The id, '' where it names nobody."""
    return "" if text is None or is_placeholder(text, own) else text


def _to_frame(frame: pl.DataFrame, found: Sequence[_Found]) -> pl.DataFrame:
    places, *columns = zip(*found, strict=True) if found else [()] * len(_Found._fields)
    rows = pl.Series(places, dtype=pl.UInt32)
    of_event = [frame[name][rows] for name in _OF_EVENT]
    own = [
        pl.Series(name, values, dtype=pl.Int64 if name == "expires_at" else pl.String)
        for name, values in zip(_Found._fields[1:], columns, strict=True)
    ]
    found_ones = pl.DataFrame([*of_event, frame["timestamp"][rows].alias("linked_at"), *own])
    return found_ones.with_columns(found_ones["expires_at"].cast(pl.Datetime("ms")))[[*CLAIM_COLUMNS, "index", "key"]]
