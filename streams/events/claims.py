"""Find the events that tie a visitor to a user: the claims of identity_claims. Pure.

Few events may be one: they are picked out of the columns, and then taken one by one.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from schemas import keys
from schemas.link_sources import ALIAS, HANDSHAKE, IDENTIFY, LOGIN
from schemas.placeholders import is_placeholder
from schemas.project_settings import ByProject, ProjectSettings

# Names of the logins in Segment's and RudderStack's event specifications, lower case.
_LOGIN_NAMES: Final = frozenset(("signed in", "logged in", "login", "sign in", "user signed in", "user logged in"))
_LOGIN_CHARS_MAX: Final = max(map(len, _LOGIN_NAMES))
CLAIM_COLUMNS: Final = (
    "source_offset", "source_partition", "tenant_id", "project_id", "anonymous_id", "user_id", "handshake_token",
    "link_source", "linked_at", "traits",
)  # fmt: skip
_OF_EVENT: Final = ("source_offset", "source_partition", "tenant_id", "project_id", "index")
_LOOKED_AT: Final = (
    "tenant_id", "project_id", "event_type", "event_name", "properties",
    "anonymous_id", "user_id", "previous_id", "handshake_token",
)  # fmt: skip
_NO_TRAITS: Final = "{}"
_NO_WORDS: Final[frozenset[str]] = frozenset()


class _Found(NamedTuple):
    """What a claim says; `row` is the place of its event."""

    row: int
    anonymous_id: str
    user_id: str
    handshake_token: str
    link_source: str
    traits: str
    key: str


class PlaceholderIds(ByProject):
    """Which ids name nobody in a project, besides those that do in every one."""

    def __init__(self) -> None:
        super().__init__(ProjectSettings.placeholder_words)


def claims(frame: pl.DataFrame, own_placeholders: Mapping[str, frozenset[str]]) -> pl.DataFrame:
    """The identity claims among enriched rows: `CLAIM_COLUMNS`, `index`, and `key`, the claim's Kafka key.

    identify and login events with both ids; alias, whose previousId is taken for the visitor; and events with a
    handshake token. These say under the token's key which ids were seen with it, and when they know both sides, under
    the visitor's key that these two belong together. Ids and tokens that name nobody are as if absent; those of
    `own_placeholders`, by project id, too.
    """
    linked: list[_Found] = []
    seen: list[_Found] = []
    rows = _may_claim(frame)
    columns = (frame[name][rows].to_list() for name in _LOOKED_AT)
    for row, tenant_id, project_id, event_type, event_name, properties, *ids in zip(rows, *columns, strict=True):
        own = own_placeholders.get(project_id, _NO_WORDS)
        anonymous_id, user_id, previous_id, token = (_somebody(text, own) for text in ids)
        source = _link_source(event_type, event_name, anonymous_id, user_id, previous_id, token)
        visitor = previous_id if source == ALIAS else anonymous_id
        if source and visitor and user_id:
            traits = properties if event_type == "identify" else _NO_TRAITS
            key = f"{tenant_id}{keys.OF_VISITOR}{visitor}"
            linked.append(_Found(row, visitor, user_id, token, source, traits, key))
        if source == HANDSHAKE:
            key = f"{tenant_id}{keys.OF_HANDSHAKE}{token}"
            seen.append(_Found(row, visitor, user_id, token, source, _NO_TRAITS, key))
    return _to_frame(frame, linked + seen)


def _may_claim(frame: pl.DataFrame) -> list[int]:
    """The places of the rows that are looked at."""
    columns = (frame[name].to_list() for name in ("event_type", "user_id", "handshake_token"))
    return [
        row
        for row, (event_type, user_id, token) in enumerate(zip(*columns, strict=True))
        if token is not None or (user_id is not None if event_type == "track" else event_type in ("identify", "alias"))
    ]


def _link_source(
    event_type: str, event_name: str, anonymous_id: str, user_id: str, previous_id: str, token: str
) -> str:
    """By what an event ties its ids; '' when it does not."""
    if event_type == "alias" and previous_id and user_id:
        return ALIAS
    if token and (anonymous_id or user_id):
        return HANDSHAKE
    if anonymous_id and user_id:
        if event_type == "identify":
            return IDENTIFY
        if event_type == "track" and len(event_name) <= _LOGIN_CHARS_MAX and event_name.lower() in _LOGIN_NAMES:
            return LOGIN
    return ""


def _somebody(text: str | None, own: frozenset[str]) -> str:
    """The id, '' where it names nobody."""
    return "" if text is None or is_placeholder(text, own) else text


def _to_frame(frame: pl.DataFrame, found: Sequence[_Found]) -> pl.DataFrame:
    places, *columns = zip(*found, strict=True) if found else [()] * len(_Found._fields)
    rows = list(places)
    of_event = [frame[name][rows] for name in _OF_EVENT]
    own = [pl.Series(name, texts, dtype=pl.String) for name, texts in zip(_Found._fields[1:], columns, strict=True)]
    return pl.DataFrame([*of_event, frame["timestamp"][rows].alias("linked_at"), *own])[
        [*CLAIM_COLUMNS, "index", "key"]
    ]
