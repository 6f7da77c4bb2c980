"""Find the events that tie a visitor to a user: the claims of identity_claims. Pure."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from schemas import keys, placeholders
from schemas.project_settings import ByProject, ProjectSettings

# Names of the logins in Segment's and RudderStack's event specifications, lower case.
_LOGIN_NAMES: Final = ("signed in", "logged in", "login", "sign in", "user signed in", "user logged in")
CLAIM_COLUMNS: Final = (
    "source_offset", "source_partition", "tenant_id", "project_id", "anonymous_id", "user_id", "handshake_token",
    "link_source", "linked_at", "traits",
)  # fmt: skip
_IDS: Final = ("anonymous_id", "user_id", "previous_id", "handshake_token")
_READ: Final = (
    "index", "source_offset", "source_partition", "tenant_id", "project_id", "event_type", "event_name", "timestamp",
    "properties", *_IDS,
)  # fmt: skip


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
    frame = frame.select(_READ).filter(_may_claim())
    own = _own_words(frame, own_placeholders)
    frame = frame.with_columns(_somebody(column, own) for column in _IDS)
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
    both_known = (pl.col("anonymous_id") != "") & (pl.col("user_id") != "")
    by_visitor = pl.concat_str("tenant_id", pl.lit(keys.OF_VISITOR), "anonymous_id")
    by_token = pl.concat_str("tenant_id", pl.lit(keys.OF_HANDSHAKE), "handshake_token")
    seen = found.filter(pl.col("link_source") == "handshake").with_columns(traits=pl.lit("{}"), key=by_token)
    linked = found.filter(both_known).with_columns(key=by_visitor)
    return pl.concat([made.select(*CLAIM_COLUMNS, "index", "key") for made in (linked, seen)])


def _may_claim() -> pl.Expr:
    """Few events do: what is asked of the ids need not be asked of all."""
    may_be_login = (pl.col("event_type") == "track") & pl.col("user_id").is_not_null()
    return pl.col("event_type").is_in(["identify", "alias"]) | may_be_login | pl.col("handshake_token").is_not_null()


def _own_words(frame: pl.DataFrame, own_placeholders: Mapping[str, frozenset[str]]) -> list[str]:
    """The placeholders of the projects in the frame, each behind its project: one list, however many projects."""
    if not own_placeholders:
        return []
    project_ids = frame["project_id"].unique().to_list()
    return [f"{one}/{word}" for one in project_ids for word in own_placeholders.get(one, ())]


def _somebody(column: str, own: list[str]) -> pl.Expr:
    """The ids of a column, null where they name nobody."""
    ids = pl.col(column)
    text = ids.str.strip_chars(placeholders.AROUND).str.to_lowercase()
    word = text.is_in(placeholders.WORDS)
    if own:
        word |= pl.concat_str("project_id", pl.lit("/"), text).is_in(own)
    return pl.when(~(ids.str.contains(placeholders.PATTERN) | word)).then(ids).alias(column)
