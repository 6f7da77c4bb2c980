"""Small universes of events: few keys, few message ids, times clustered around the boundaries of sessions.

Rows are dictionaries, in the order of their offsets within a partition; the columnar steps get them as frames, the
oracles as they are.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import polars as pl
from hypothesis import strategies as st

from streams.events.deduplicate import DedupRules
from streams.sessions.chains import SessionRules
from streams.sessions.state import SessionState, new_state

Row = dict[str, Any]
Place = tuple[int, int]  # partition and offset

TENANT: Final = "00000000-0000-4000-8000-00000000000a"
PROJECTS: Final = ("00000000-0000-4000-8000-0000000000b1", "00000000-0000-4000-8000-0000000000b2")
PARTITIONS: Final = 3
GAP_MS: Final = 1_000
# A session of at most four cells, and lateness that is not a multiple of anything.
RULES: Final = SessionRules(gap_ms=GAP_MS, lateness_ms=9_300, cells_max=4)
DEDUP: Final = DedupRules(window_s=100, seen_ids_max=100)
START_MS: Final = 1_795_000_000_000
CONVERSIONS: Final[Mapping[str, frozenset[str]]] = {PROJECTS[0]: frozenset({"Bought", "Signed"})}

_NAMESPACE: Final = uuid.UUID("3f0b4a52-5f0c-5f53-9a55-0d6a4b0f1c7e")


def made_uuid(name: object) -> str:
    """A UUID that depends on the name alone."""
    return str(uuid.uuid5(_NAMESPACE, str(name)))


MESSAGE_IDS: Final = tuple(made_uuid(number) for number in range(12))
# What stands behind tenant and project in a key, and the fields that go with it.
_OWNERS: Final[tuple[tuple[str, Row], ...]] = (
    ("v/ann", {"anonymous_id": "ann"}),
    ("v/bob/x", {"anonymous_id": "bob/x"}),
    ("v/user-7", {"anonymous_id": "", "user_id": "user-7"}),
    # As keys were before the visitor stood in all of them.
    ("s/{client_uuid}", {"client_session_id": "{client_uuid}"}),
    # Two visitors with one id.
    ("s/bob/1718", {"anonymous_id": "bob", "client_session_id": "1718"}),
    ("s/ann/1718", {"anonymous_id": "ann", "client_session_id": "1718"}),
    # Has the digits of a UUID and not its dashes.
    (f"s/ann/----{'0' * 31}1", {"anonymous_id": "ann", "client_session_id": f"----{'0' * 31}1"}),
)
_CLIENT_UUIDS: Final = {project: made_uuid(f"client session of {project}") for project in PROJECTS}


def partition_of(key: bytes) -> int:
    """The one partition of a key."""
    return sum(key) % PARTITIONS


# Cells are GAP_MS long, aligned to 1970; sessions end at the gap or at cells_max cells.
clustered_times = st.builds(
    lambda cell, delta: START_MS + cell * GAP_MS + delta,
    st.integers(0, 3 * RULES.cells_max),
    st.sampled_from((-1, 0, 1, 499, 500, 999)),
)
_texts = st.sampled_from(("", "/a", "/b"))
_urls = st.sampled_from(("", "https://www.shop.example/a", "https://shop.example:8443/b", "https://else.example/"))
_optional = st.sampled_from((None, "x", "y"))


@st.composite
def enriched_rows(draw: st.DrawFn, times: st.SearchStrategy[int] = clustered_times) -> Row:
    """One row as sessionize sees it, but for its place, its key's number and its message id."""
    project = draw(st.sampled_from(PROJECTS))
    owner, fields = draw(st.sampled_from(_OWNERS))
    if "{client_uuid}" in owner:
        owner, fields = f"s/{_CLIENT_UUIDS[project]}", {"client_session_id": _CLIENT_UUIDS[project]}
    at = draw(times)
    row: Row = {
        "message_id": draw(st.sampled_from(MESSAGE_IDS)),
        "tenant_id": TENANT,
        "project_id": project,
        "key": f"{TENANT}/{project}/{owner}".encode(),
        "timestamp": at,
        "received_at": at + draw(st.sampled_from((0, 700, 3_000))),
        "event_type": draw(st.sampled_from(("track", "page", "screen", "identify"))),
        "event_name": draw(st.sampled_from(("", "Bought", "Signed", "Viewed"))),
        "anonymous_id": draw(st.sampled_from(("", "ann", "bob"))),
        "user_id": draw(_optional),
        "client_session_id": None,
        "page_path": draw(_texts),
        "page_url": draw(_urls),
        "page_referrer": draw(_urls),
        "utm_source": draw(_optional),
        "utm_medium": draw(_optional),
        "utm_campaign": draw(_optional),
        "device_type": draw(st.sampled_from(("", "desktop", "mobile"))),
        "country_code": draw(st.sampled_from(("", "DE", "FR"))),
        "channel_type": draw(st.sampled_from(("web", "whatsapp"))),
        "is_bot": draw(st.booleans()),
    }
    return {**row, **fields}


def placed(rows: Iterable[Row]) -> list[Row]:
    """The rows with their places in the log: the key's partition, offsets in this order with a hole now and then."""
    ends = dict.fromkeys(range(PARTITIONS), 0)
    found = []
    for number, row in enumerate(rows):
        partition = partition_of(row["key"])
        found.append({**row, "source_partition": partition, "source_offset": ends[partition]})
        ends[partition] += 1 if number % 5 else 3
    return found


@st.composite
def cuts(draw: st.DrawFn, length: int) -> list[tuple[int, int]]:
    """How a log of so many rows is cut into chunks: (start, end) of each."""
    marks = sorted(draw(st.sets(st.integers(1, max(1, length - 1)), max_size=6)))
    bounds = [0, *(mark for mark in marks if mark < length), length]
    return list(pairwise(bounds))


_TYPES: Final[Mapping[str, Any]] = {
    "timestamp": pl.Datetime("ms"),
    "received_at": pl.Datetime("ms"),
    "key": pl.Binary,
    "is_bot": pl.Boolean,
    "source_partition": pl.Int32,
    "source_offset": pl.Int64,
}


def to_frame(rows: Sequence[Row]) -> pl.DataFrame:
    """The rows as decode and enrich hand them on."""
    names = list(rows[0])
    return pl.DataFrame(
        {name: pl.Series([row[name] for row in rows], dtype=_TYPES.get(name, pl.String)) for name in names}
    )


class States:
    """Session states by key: what an epoch holds, without a table."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, SessionState] = {}

    def of(self, partition: int, key: bytes) -> SessionState:
        """The state of a key, made when there is none."""
        assert partition == partition_of(key)
        return self.by_key.setdefault(key, new_state())
