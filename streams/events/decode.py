"""Bytes → frame. A record that cannot be decoded, or whose fields would poison what comes after, leaves alone. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import polars as pl
import pyarrow.compute as pc

from schemas import keys
from schemas.column_codec import ColumnCodec, Invalid
from schemas.message_ids import CANONICAL_UUID
from schemas.outcomes import DeadReason
from streams.runtime.operator import Records
from streams.uuids import are_uuids

_T = TypeVar("_T")

_UUID: Final = f"^{CANONICAL_UUID}$"
# What a moment (streams.sessions.slices) can hold: 1970 to 2248; the collector's bounds are far narrower.
_EARLIEST_MS: Final = 0
_LATEST_MS: Final = 2**43 - 1

# In the order of the checks; the first that fails names the problem.
_CHECKS_OF_IDS: Final[tuple[tuple[str, pl.Expr], ...]] = (
    ("event_id is not a UUID", pl.col("event_id").str.contains(_UUID)),
    ("message_id is not a lower-case UUID", pl.col("message_id").str.contains(_UUID)),
)
_OWNER: Final = pl.concat_str("tenant_id", pl.lit("/"), "project_id", pl.lit("/"))
_SLASHES_MIN: Final = 3  # of a key: tenant_id/project_id/kind/visitor
_CHECKS_OF_KEY_AND_TIMES: Final[tuple[tuple[str, pl.Expr], ...]] = (
    # Who owns a record is read off its key wherever the value cannot be trusted: the two must agree.
    (
        "the Kafka key does not begin with tenant_id/project_id/",
        pl.col("key_text").str.starts_with(_OWNER).fill_null(value=False),
    ),
    # No collector makes such a key, and nobody could tell whose session it is.
    (
        "the Kafka key names no visitor behind its owner",
        pl.col("key_text").str.count_matches("/", literal=True) >= _SLASHES_MIN,
    ),
    ("timestamp is out of range", pl.col("timestamp").cast(pl.Int64).is_between(_EARLIEST_MS, _LATEST_MS)),
    ("received_at is out of range", pl.col("received_at").cast(pl.Int64).is_between(_EARLIEST_MS, _LATEST_MS)),
)


def decode(records: Records, codec: ColumnCodec) -> tuple[pl.DataFrame, list[Invalid]]:
    """Decode a chunk.

    Returns the frame, in the records' order, with the columns of the schema and `source_partition`, `source_offset`,
    `key` (the Kafka key as bytes), and `index` (the row's place in `records`); and the records that are not in it.
    """
    batch, indexes, invalid = codec.decode_columns(records.values)
    whole = len(indexes) == len(records)
    frame = pl.DataFrame(pl.from_arrow(batch)).hstack(
        [
            pl.Series("source_partition", _pick(records.partitions, indexes, whole), dtype=pl.Int32),
            pl.Series("source_offset", _pick(records.offsets, indexes, whole), dtype=pl.Int64),
            pl.Series("key", _pick(records.keys, indexes, whole), dtype=pl.Binary),
            pl.Series("index", indexes, dtype=pl.Int64),
        ]
    )
    key_texts = _texts(frame["key"])
    if frame.is_empty() or _all_sound(frame, key_texts):
        return frame, invalid
    checks = _checks(frame)
    sound = pl.all_horizontal(*(check for _, check in checks))
    checked = frame.with_columns(key_text=key_texts)
    unsound = checked.filter(~sound)
    problem = pl.coalesce(*(pl.when(~check).then(pl.lit(name)) for name, check in checks))
    named = unsound.select("index", problem=problem).rows()
    invalid = invalid + [Invalid(index, DeadReason.FIELD_INVALID, text) for index, text in named]
    return checked.filter(sound).drop("key_text"), invalid


def _all_sound(frame: pl.DataFrame, key_texts: pl.Series) -> bool:
    """Whether every row passes the checks. Nearly every chunk does, and is spared their expressions."""
    if not (are_uuids(frame["event_id"]) and are_uuids(frame["message_id"])):
        return False
    for name in ("timestamp", "received_at"):
        at = frame[name].cast(pl.Int64).to_numpy()
        if ((at < _EARLIEST_MS) | (at > _LATEST_MS)).any():
            return False
    if key_texts.null_count():
        return False
    columns = frame["tenant_id"], frame["project_id"]
    firsts = [column[0] for column in columns]
    if all((column == first).all() for column, first in zip(columns, firsts, strict=True)):
        texts = key_texts.to_arrow(compat_level=pl.CompatLevel.oldest())
        # Collectors write no other kinds; looking for a slash behind any kind costs fifty times as much.
        of_visits, of_visitors = (pc.starts_with(texts, f"{_prefix(*firsts)}{kind}/") for kind in ("s", "v"))
        return all(map(keys.is_owner_id, firsts)) and pc.all(pc.or_(of_visits, of_visitors)).as_py()
    owners = list(zip(*(column.to_list() for column in columns), strict=True))
    prefixes = {owner: _prefix(*owner) for owner in set(owners)}
    if not all(keys.is_owner_id(one) for owner in prefixes for one in owner):
        return False
    texts = key_texts.to_list()
    if any(text.count("/") < _SLASHES_MIN for text in texts):
        return False
    return all(map(str.startswith, texts, map(prefixes.__getitem__, owners)))


def _prefix(tenant_id: str, project_id: str) -> str:
    """What the keys of an owner begin with."""
    return f"{tenant_id}/{project_id}/"


def _checks(frame: pl.DataFrame) -> list[tuple[str, pl.Expr]]:
    return [*_CHECKS_OF_IDS, *_checks_of_owners(frame), *_CHECKS_OF_KEY_AND_TIMES]


def _checks_of_owners(frame: pl.DataFrame) -> Iterator[tuple[str, pl.Expr]]:
    """Asked of the distinct ids alone, of which a chunk has few; none where all can stand in keys."""
    for column in ("tenant_id", "project_id"):
        unfit = [text for text in frame[column].unique().to_list() if not keys.is_owner_id(text)]
        if unfit:
            yield f"{column} is empty or has a '/'", ~pl.col(column).is_in(unfit)


def _texts(column: pl.Series) -> pl.Series:
    """The keys as text, null for one that is no UTF-8."""
    try:
        return column.cast(pl.String)
    except pl.exceptions.ComputeError:  # raised for all because of one, by a cast that is not strict too
        return pl.Series([_text(key) for key in column.to_list()], dtype=pl.String)


def _text(key: bytes | None) -> str | None:
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def _pick(column: Sequence[_T], indexes: list[int], whole: bool) -> Sequence[_T]:
    return column if whole else [column[index] for index in indexes]
