"""Bodies as batches of raw events."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events.parse import MalformedError, parse_batch, parse_single
from tests.collector.events.json_values import values

json_values = values.map(lambda value: json.dumps(value).encode())


@given(st.lists(json_values, max_size=5), st.booleans())
def test_events_of_a_batch_are_the_bytes_that_stood_there(elements: list[bytes], broken: bool) -> None:
    rest = b',"broken":NaN' if broken else b""
    batch = parse_batch(b'{"batch":[' + b" , ".join(elements) + b"]" + rest + b"}")
    assert [bytes(raw) for raw in batch.events] == elements


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "malformed JSON"),
        (b"not json", "malformed JSON"),
        (b'{"batch":[{"type":"track"}', "malformed JSON"),
        (b'{"batch":[{}],"x":"', "malformed JSON"),
        (b"[" * 100_000, "malformed batch"),
        (b'{"batch":' + b"[" * 100_000 + b"]" * 100_000 + b',"x":NaN}x', "malformed JSON"),
        (b"[]", "malformed batch"),
        (b'"text"', "malformed batch"),
        (b"{}", "'batch' is missing"),
        (b'{"batch":null}', "'batch' is missing"),
        (b'{"batch":{"type":"track"}}', "malformed batch"),
        (b'{"batch":7}', "malformed batch"),
    ],
)
def test_a_body_without_events_is_malformed(body: bytes, message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        parse_batch(body)


def test_an_empty_batch_is_no_mistake() -> None:
    assert parse_batch(b'{"batch":[]}').events == []


def test_a_deep_event_is_one_element_among_others() -> None:
    deep = b"[" * 30_000 + b"]" * 30_000
    batch = parse_batch(b'{"batch":[{"a":1},' + deep + b',{"b":2}],"writeKey":"k"}')
    assert [bytes(raw) for raw in batch.events] == [b'{"a":1}', deep, b'{"b":2}']
    assert batch.write_key == "k"


@pytest.mark.parametrize("broken", [b"", b',"x":NaN'])
@pytest.mark.parametrize(
    ("sent_at", "ms"),
    [
        (b'"2026-11-24T13:15:14.123Z"', 1_795_526_114_123),
        (b"1795526114123", 1_795_526_114_123),
        (b"null", None),
        (b'"soon"', None),
        (b"{}", None),
        (b"true", None),
        (b"[[1]]", None),
    ],
)
def test_sent_at_is_read_or_ignored(sent_at: bytes, ms: int | None, broken: bytes) -> None:
    assert parse_batch(b'{"batch":[],"sentAt":' + sent_at + broken + b"}").sent_at == ms


@pytest.mark.parametrize("broken", [b"", b',"x":NaN'])
@pytest.mark.parametrize(("sent", "key"), [(b'"k"', "k"), (b"7", None), (b"null", None), (b'"\xff"', None)])
def test_write_key_of_a_batch(sent: bytes, key: str | None, broken: bytes) -> None:
    assert parse_batch(b'{"writeKey":' + sent + b',"batch":[]' + broken + b"}").write_key == key


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"writeKey":"k","event":"E"}', "k"),
        (b' {"event":"E","writeKey":"k"} ', "k"),
        (b'{"event":NaN,"writeKey":"k"}', "k"),
        (b'{"x":' + b"[" * 9000 + b"]" * 9000 + b',"writeKey":"k"}', "k"),
        (b'{"event":"E"}', None),
        (b'{"writeKey":{}}', None),
        (b"[]", None),
        (b"nothing", None),
    ],
)
def test_write_key_of_a_single_event_is_found_when_wanted(body: bytes, key: str | None) -> None:
    assert parse_single(body, key_wanted=True).write_key == key
    assert parse_single(body, key_wanted=False).write_key is None


def test_a_byte_order_mark_is_no_part_of_the_json() -> None:
    assert parse_single(b'\xef\xbb\xbf{"a":1}', key_wanted=False).events == [b'{"a":1}']
    assert [bytes(raw) for raw in parse_batch(b'\xef\xbb\xbf{"batch":[1]}').events] == [b"1"]


def test_an_empty_single_body_is_malformed() -> None:
    with pytest.raises(MalformedError, match="empty"):
        parse_single(b" \n", key_wanted=True)


def test_invalid_utf8_is_noticed_and_told() -> None:
    assert not parse_batch(b'{"batch":["\xff"]}').is_utf8
    assert not parse_single(b'{"a":"\xff"}', key_wanted=False).is_utf8
    assert parse_batch('{"batch":["é"]}'.encode()).is_utf8


@given(st.binary(max_size=300))
def test_any_bytes_are_a_batch_or_malformed(body: bytes) -> None:
    with suppress(MalformedError):
        parse_batch(body)
    with suppress(MalformedError):
        parse_single(body, key_wanted=True)


def test_a_lone_surrogate_in_a_batch_s_context_costs_nothing_but_itself() -> None:
    sent = rb'{"batch":[{"type":"page"}],"context":{"title":"cut \ud83d","emoji":"\ud83d\ude00","locale":"de"}}'
    assert parse_batch(sent).context == rb'{"title":"cut \ufffd","emoji":"\ud83d\ude00","locale":"de"}'
