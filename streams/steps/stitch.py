"""Find the events that tie a visitor to a user, and settle their claims into identities. Pure.

Links are a set that only grows, each with the times of its earliest and latest claim; which user an event belongs to
is decided when it is asked (view events_resolved). So the result is the same for every order and repetition of claims.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import polars as pl

from schemas import placeholders

# Names of the logins in Segment's and RudderStack's event specifications, lower case.
_LOGIN_NAMES: Final = ("signed in", "logged in", "login", "sign in", "user signed in", "user logged in")
LINKS_BYTES_MAX: Final = 2**20  # of one visitor's users and traits: its state must fit into a record of the changelog
HANDSHAKE_IDS_MAX: Final = 10  # on each side; a token is meant for one visitor and one user
CLAIM_COLUMNS: Final = (
    "source_offset", "source_partition", "tenant_id", "project_id", "anonymous_id", "user_id", "handshake_token",
    "link_source", "linked_at", "traits",
)  # fmt: skip
_IDS: Final = ("anonymous_id", "user_id", "previous_id", "handshake_token")
_READ: Final = (
    "source_offset", "source_partition", "tenant_id", "project_id", "event_type", "event_name", "timestamp",
    "properties", *_IDS,
)  # fmt: skip


def claims(frame: pl.DataFrame) -> pl.DataFrame:
    """The identity claims among enriched rows: `CLAIM_COLUMNS` and `key`, the claim's Kafka key.

    identify and login events with both ids; alias, whose previousId is taken for the visitor; and events with a
    handshake token, keyed by the token when they know only one side. Ids and tokens that name nobody are as if absent.
    """
    frame = frame.select(_READ).filter(_may_claim()).with_columns(map(_somebody, _IDS))
    frame = frame.with_columns(pl.col("anonymous_id").fill_null(""))
    has_user = pl.col("user_id").is_not_null()
    both = (pl.col("anonymous_id") != "") & has_user
    login = (pl.col("event_type") == "track") & pl.col("event_name").str.to_lowercase().is_in(_LOGIN_NAMES)
    alias = (pl.col("event_type") == "alias") & pl.col("previous_id").is_not_null()
    handshake = pl.col("handshake_token").is_not_null()
    source = (
        pl.when(alias & has_user).then(pl.lit("alias"))
        .when(handshake & ((pl.col("anonymous_id") != "") | has_user)).then(pl.lit("handshake"))
        .when((pl.col("event_type") == "identify") & both).then(pl.lit("identify"))
        .when(login & both).then(pl.lit("login"))
    )  # fmt: skip
    found = frame.with_columns(link_source=source).filter(pl.col("link_source").is_not_null())
    visitor = pl.when(pl.col("link_source") == "alias").then(pl.col("previous_id")).otherwise(pl.col("anonymous_id"))
    found = found.with_columns(
        anonymous_id=visitor,
        user_id=pl.col("user_id").fill_null(""),
        handshake_token=pl.col("handshake_token").fill_null(""),
        linked_at=pl.col("timestamp"),
        traits=pl.when(pl.col("event_type") == "identify").then(pl.col("properties")).otherwise(pl.lit("{}")),
    )
    settled = (pl.col("anonymous_id") != "") & (pl.col("user_id") != "")
    key = (
        pl.when(settled)
        .then(pl.concat_str("tenant_id", pl.lit("/a/"), "anonymous_id"))
        .otherwise(pl.concat_str("tenant_id", pl.lit("/h/"), "handshake_token"))
    )
    return found.select(*CLAIM_COLUMNS, key.alias("key"))


def _may_claim() -> pl.Expr:
    """Few events do: what is asked of the ids need not be asked of all."""
    may_be_login = (pl.col("event_type") == "track") & pl.col("user_id").is_not_null()
    return pl.col("event_type").is_in(["identify", "alias"]) | may_be_login | pl.col("handshake_token").is_not_null()


def _somebody(column: str) -> pl.Expr:
    """The ids of a column, null where they name nobody."""
    ids = pl.col(column)
    word = ids.str.strip_chars(placeholders.AROUND).str.to_lowercase().is_in(placeholders.WORDS)
    return pl.when(~(ids.str.contains(placeholders.PATTERN) | word)).then(ids).alias(column)


class Link(msgspec.Struct, array_like=True):
    """One visitor-user link; times in ms."""

    first_linked_ms: int
    linked_ms: int
    link_source: str
    traits: str
    traits_ms: int


class Sighting(msgspec.Struct, array_like=True):
    """When an id was seen with a handshake token; times in ms."""

    first_ms: int
    last_ms: int


class ClaimState(msgspec.Struct, array_like=True):
    """What the identity table holds for one key.

    For a visitor: its links, by user. For a handshake token: the visitors and the users seen with it.
    """

    links: dict[str, Link]
    visitors: dict[str, Sighting]
    users: dict[str, Sighting]


def new_claims() -> ClaimState:
    """The state of a key never seen before."""
    return ClaimState({}, {}, {})


def without_secrets(traits: str, secrets: Iterable[str]) -> str:
    """The JSON object less its members named like secrets, in any case; '{}' when it is not an object.

    Only one that may have such members is decoded; a backslash may spell a letter of their names.
    """
    lowered = traits.lower()
    if lowered.startswith("{") and "\\" not in lowered and not any(name in lowered for name in secrets):
        return traits
    try:
        members = msgspec.json.decode(traits, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError):
        return "{}"
    kept = {name: value for name, value in members.items() if name.lower() not in secrets}
    return msgspec.json.encode(kept).decode()


def settle_link(state: ClaimState, claim: Mapping[str, Any], links_max: int) -> bool:
    """Fold a claim that knows both sides into the visitor's links; False when there is no room for it."""
    moment_ms: int = claim["linked_at"]
    others = sum(len(user.encode()) + len(link.traits.encode()) for user, link in state.links.items())
    if others + len(claim["user_id"].encode()) + len(claim["traits"].encode()) > LINKS_BYTES_MAX:
        return False
    link = state.links.get(claim["user_id"])
    has_traits = claim["traits"] != "{}"
    if link is None:
        if len(state.links) >= links_max:
            return False
        state.links[claim["user_id"]] = Link(
            moment_ms, moment_ms, claim["link_source"], claim["traits"], moment_ms if has_traits else -1
        )
        return True
    link.first_linked_ms = min(link.first_linked_ms, moment_ms)
    # Equal times are decided by the text, so that order of arrival decides nothing.
    if (moment_ms, claim["link_source"]) > (link.linked_ms, link.link_source):
        link.linked_ms, link.link_source = moment_ms, claim["link_source"]
    if has_traits and (moment_ms, claim["traits"]) > (link.traits_ms, link.traits):
        link.traits_ms, link.traits = moment_ms, claim["traits"]
    return True


def settle_handshake(state: ClaimState, claim: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Note one side of a handshake: the claims that tie it to every id of the other side, to be keyed by the visitor.

    None when too many ids were seen with the token already. A pair is linked from when both its ids had been seen to
    when the later of them was seen last: among the claims of all orders of arrival are those two moments, and none
    outside them. Traits are not carried over.
    """
    moment_ms: int = claim["linked_at"]
    by_visitor = bool(claim["anonymous_id"])
    own, others = (state.visitors, state.users) if by_visitor else (state.users, state.visitors)
    name = claim["anonymous_id"] or claim["user_id"]
    sighting = own.get(name)
    if sighting is None:
        if len(own) >= HANDSHAKE_IDS_MAX:
            return None
        own[name] = Sighting(moment_ms, moment_ms)
    else:
        sighting.first_ms = min(sighting.first_ms, moment_ms)
        sighting.last_ms = max(sighting.last_ms, moment_ms)
    tied = dict(claim) | {"link_source": "handshake", "traits": "{}"}
    return [
        tied
        | {"anonymous_id": name if by_visitor else other, "user_id": other if by_visitor else name, "linked_at": at}
        for other, seen in others.items()
        for at in sorted({max(moment_ms, seen.first_ms), max(moment_ms, seen.last_ms)})
    ]
