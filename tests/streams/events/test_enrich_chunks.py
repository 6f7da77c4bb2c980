"""A chunk as a whole: its shape, and rows that would harm their neighbours."""

import json
from typing import Any

import polars as pl
import pytest

from streams.events.enrich import enrich
from streams.events.lookups import Lookups

GOOD = {"page": {"path": "/p", "url": "https://x.example/p", "title": "T", "referrer": ""}, "library": {"name": "a.js"}}
ADDED = {
    **dict.fromkeys(("page_path", "page_url", "page_title", "page_referrer"), pl.String),
    **dict.fromkeys(("utm_source", "utm_medium", "utm_campaign"), pl.String),
    **dict.fromkeys(("channel_type", "external_id", "handshake_token", "sdk_version"), pl.String),
    **dict.fromkeys(("device_type", "os_name", "os_version", "browser_name", "browser_version"), pl.String),
    **dict.fromkeys(("country_code", "city", "bot_reason"), pl.String),
    "is_bot": pl.Boolean,
}


def _row(**given: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("user_agent", "ip_address", "origin"), "")
    return {"event_type": "page", **empty, "context": "{}", "properties": "{}", **given}


def test_columns_are_added_to_those_of_the_chunk_and_rows_keep_their_order(lookups: Lookups) -> None:
    chunk = pl.DataFrame([_row(offset=offset, event_name=f"e{offset}") for offset in range(50)])
    enriched = enrich(chunk, lookups)
    assert enriched.select(chunk.columns).equals(chunk)
    assert {name: enriched.schema[name] for name in enriched.columns[len(chunk.columns) :]} == ADDED


@pytest.mark.parametrize("rows", [1, 999, 1_000, 1_001, 2_500])
def test_each_row_of_a_large_chunk_is_enriched_from_its_own_context(lookups: Lookups, rows: int) -> None:
    contexts = [
        json.dumps({"page": {"title": f"T{n}"}, "external_id": f"x{n}" if n == rows - 1 else None}) for n in range(rows)
    ]
    enriched = enrich(pl.DataFrame([_row(context=context) for context in contexts]), lookups)
    assert enriched["page_title"].to_list() == [f"T{n}" for n in range(rows)]
    assert enriched["external_id"].to_list() == [None] * (rows - 1) + [f"x{rows - 1}"]


def test_an_empty_chunk_has_the_same_columns(lookups: Lookups) -> None:
    chunk = pl.DataFrame([_row()])
    assert enrich(chunk.clear(), lookups).schema == enrich(chunk, lookups).schema


def test_only_the_nullable_columns_hold_nulls(lookups: Lookups) -> None:
    enriched = enrich(pl.DataFrame([_row()]), lookups)
    nulls = [column.name for column in enriched.get_columns() if column.null_count()]
    assert nulls == ["utm_source", "utm_medium", "utm_campaign", "external_id", "handshake_token"]


@pytest.mark.parametrize(
    "context",
    [
        '{"page": "a string", "campaign": null, "userAgent": 7, "library": []}',
        '{"page": {"path": 1, "url": true, "title": [], "referrer": {}}, "campaign": {"source": 5}}',
        '{"x": ' + "1" * 30_000 + ', "y": -1e999999, "page": {"title": 1' + "0" * 30 + "}}",
        '{"page": {"title": null}, "page": "twice"}',
        '{"x": ' + "[" * 15_000 + "]" * 15_000 + "}",
        '{"x":' * 6_000 + "1" + "}" * 6_000,
        '{"\\ud800": "\\udc00", "library": {"name": 1}}',
        "[1, 2]",
        "null",
        "",
        "{",
        '{}, {"page": {"title": "smuggled"}}',
        '"',
        "\x00",
    ],
    ids=lambda context: context[:24],
)
def test_a_strange_context_is_as_if_empty_and_harms_no_neighbour(lookups: Lookups, context: str) -> None:
    good = _row(context=json.dumps(GOOD))
    enriched = enrich(pl.DataFrame([good, _row(context=context), good]), lookups).drop("context")
    alone = enrich(pl.DataFrame([good]), lookups).drop("context")
    empty = enrich(pl.DataFrame([_row()]), lookups).drop("context")
    assert enriched.equals(pl.concat([alone, empty, alone]))


def test_duplicate_members_are_read_as_their_last(lookups: Lookups) -> None:
    first, second = '{"title": "a", "path": "/a"}', '{"url": 5, "url": "/b", "title": "c", "title": "d"}'
    context = f'{{"page": {first}, "page": {second}}}'
    (enriched,) = enrich(pl.DataFrame([_row(context=context)]), lookups).to_dicts()
    assert (enriched["page_title"], enriched["page_path"], enriched["page_url"]) == ("d", "/b", "/b")


def test_an_escaped_name_is_the_name(lookups: Lookups) -> None:
    rows = [
        _row(event_type="track", properties=r'{"\u0068andshake_token": "t"}'),
        _row(event_type="track", properties=r'{"handshak\u0065Token": "t"}'),
    ]
    assert enrich(pl.DataFrame(rows), lookups)["handshake_token"].to_list() == ["t", "t"]


def test_nul_stays_and_lone_surrogates_are_replaced(lookups: Lookups) -> None:
    title = r'{"page": {"title": "a\u0000b \ud83d\ude00 \ud83d c\udc00", "path": "/\u0000"}}'
    enriched = enrich(pl.DataFrame([_row(context=title)]), lookups)
    assert enriched["page_title"].to_list() == ["a\x00b \U0001f600 \ufffd c\ufffd"]
    assert enriched["page_path"].to_list() == ["/\x00"]
    enriched.to_arrow().validate(full=True)


def test_each_distinct_text_is_looked_up_once_a_chunk(lookups: Lookups) -> None:
    asked: list[str] = []

    class Recording:
        name, entries, misses = "addresses", 0, 0

        def __call__(self, texts: Any) -> Any:
            asked.extend(texts)
            return lookups.addresses(texts)

    recording = Lookups(lookups.user_agents, lookups.robots, Recording(), lookups.urls)
    enrich(pl.DataFrame([_row(ip_address=f"8.8.8.{n % 3}") for n in range(300)]), recording)
    assert sorted(asked) == ["8.8.8.0", "8.8.8.1", "8.8.8.2"]
