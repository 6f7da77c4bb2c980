"""enrich over a chunk equals enrich_row over its rows, whatever the rows hold."""

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from streams.events.enrich import enrich
from streams.events.lookups import Lookups
from tests.streams.events.oracle import Sources, enrich_row
from tests.streams.events.strategies import broken, likely_contexts, rows, wild_objects

Rows = list[dict[str, Any]]
SCHEMA = {
    "number": pl.Int64,
    **dict.fromkeys(("event_type", "user_agent", "ip_address", "origin", "context", "properties"), pl.String),
}


def _assert_equal(chunk: Rows, lookups: Lookups, sources: Sources) -> None:
    enriched = enrich(pl.DataFrame(chunk, schema=SCHEMA), lookups)
    assert enriched.to_dicts() == [enrich_row(row, sources) for row in chunk]
    # What goes to Kafka and on is UTF-8.
    enriched.to_arrow().validate(full=True)


@given(chunk=rows(likely_contexts()))
def test_a_chunk_of_likely_events_equals_its_rows(chunk: Rows, lookups: Lookups, sources: Sources) -> None:
    _assert_equal(chunk, lookups, sources)


@given(chunk=rows(wild_objects))
def test_a_chunk_of_arbitrary_json_objects_equals_its_rows(chunk: Rows, lookups: Lookups, sources: Sources) -> None:
    _assert_equal(chunk, lookups, sources)


@given(chunk=rows(st.one_of(broken(), likely_contexts())))
def test_broken_json_harms_no_row_but_its_own(chunk: Rows, lookups: Lookups, sources: Sources) -> None:
    _assert_equal(chunk, lookups, sources)
