"""Every document that JSON parsers disagree on, sent to the collector as it runs."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import msgspec
import pytest

from tests.collector.events.json_corpus import documents
from tests.collector.running import Running

pytestmark = pytest.mark.integration
VISITOR = b'"anonymousId":"v"'


@cache
def corpus() -> Mapping[str, bytes]:
    """The documents by name, read by the first test that asks: a package holds them."""
    return dict(documents())


def of_class(letter: str) -> dict[str, bytes]:
    """The documents a parser must take (y), must refuse (n), or may treat as it likes (i)."""
    return {name: document for name, document in corpus().items() if name.startswith(f"{letter}_")}


def as_property(name: str, document: bytes) -> bytes:
    """An event one of whose properties is the document."""
    return b'{"type":"track","event":"E",%s,"messageId":%s,"properties":{"v":%s}}' % (
        VISITOR,
        json.dumps(name[:100]).encode(),
        document,
    )


def as_context(name: str, document: bytes) -> bytes:
    """An event a part of whose context is the document."""
    return as_property(name, b"0")[:-1] + b',"context":{"v":' + document + b"}}"


def as_batch(name: str, document: bytes) -> bytes:
    """A batch in which such an event stands between two that are in order."""
    before, after = (b'{"type":"page",%s,"messageId":"%s"}' % (VISITOR, side) for side in (b"before", b"after"))
    return b'{"batch":[' + b",".join((before, as_property(name, document), after)) + b"]}"


def post_all(running: Running, path: str, bodies: Mapping[str, bytes]) -> dict[str, int]:
    """The status of each, several sent at once."""
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(bodies, pool.map(lambda body: running.post(path, body), bodies.values()), strict=True))


def assert_unharmed(running: Running, pid: int | None) -> None:
    """The process is the same, in order, and has failed at nothing."""
    assert running.service.pid == pid
    assert running.service.get("/readyz") == (200, "ready\n")
    assert 'status="500"' not in running.service.get("/metrics")[1]
    assert not running.service.said("a request failed")


def test_the_corpus_is_whole() -> None:
    assert len(corpus()) >= 350
    assert min(len(of_class(letter)) for letter in "yni") >= 40
    # Documents that came as text and are none would show here.
    assert [name for name, document in corpus().items() if b"\xef\xbf\xbd" in document] == []


@pytest.mark.parametrize(("within", "field"), [(as_property, "properties"), (as_context, "context")])
def test_what_is_json_is_stored_as_it_was_sent(
    running: Running, within: Callable[[str, bytes], bytes], field: str
) -> None:
    pid, sent = running.service.pid, of_class("y")
    bodies = {name: within(name, document) for name, document in sent.items()}
    assert post_all(running, "/v1/track", bodies) == dict.fromkeys(sent, 200)
    stored = {event["client_message_id"]: event[field].encode() for event in running.raw_events()}
    assert stored == {name: b'{"v":' + document + b"}" for name, document in sent.items()}
    assert running.stored("dead_letters") == []
    assert_unharmed(running, pid)


def test_what_is_no_json_is_never_stored(running: Running) -> None:
    pid, sent = running.service.pid, of_class("n")
    alone = {f"{name}, alone": document for name, document in sent.items()}
    bodies = {name: as_property(name, document) for name, document in sent.items()} | alone
    statuses = post_all(running, "/v1/track", bodies)
    assert set(post_all(running, "/v1/batch", alone).values()) == {400}
    assert set(statuses.values()) == {200, 400}
    # What is too large, too deep, or at its first byte no object is not looked at any further.
    letters = {stored.value["payload"]: stored.value["reason"] for stored in running.stored("dead_letters")}
    assert letters.keys() == {bodies[name].strip() for name, status in statuses.items() if status == 200}
    assert set(letters.values()) == {"event_too_large", "event_too_deep", "event_not_object", "event_not_json"}
    assert {payload for payload, reason in letters.items() if reason == "event_not_json"} <= {
        bodies[name] for name in sent if any(word in sent[name] for word in (b"NaN", b"Inf", b"inf"))
    }
    assert running.raw_events() == []
    assert_unharmed(running, pid)


def test_what_may_be_json_is_stored_refused_or_dead_but_never_lost(running: Running) -> None:
    pid, sent = running.service.pid, of_class("i")
    bodies = {name: as_property(name, document) for name, document in sent.items()}
    statuses = post_all(running, "/v1/track", bodies)
    assert set(statuses.values()) == {200, 400}
    stored = {event["client_message_id"]: event["properties"] for event in running.raw_events()}
    dead = {letter.value["payload"] for letter in running.stored("dead_letters")}
    for name, status in statuses.items():
        is_dead = bodies[name] in dead
        assert (status == 200) == ((name in stored) != is_dead), name
    for name, properties in stored.items():
        msgspec.json.decode(properties, type=dict[str, msgspec.Raw])  # what stands behind can read it
        properties.encode()
        if "lone" not in name and "surrogate" not in name and "pair" not in name and "high" not in name:
            assert properties.encode() == b'{"v":' + sent[name] + b"}", name
    assert_unharmed(running, pid)


@pytest.mark.parametrize("letter", ["y", "n", "i"])
def test_no_document_harms_its_neighbours_in_a_batch(running: Running, letter: str) -> None:
    pid, sent = running.service.pid, of_class(letter)
    bodies = {name: as_batch(name, document) for name, document in sent.items()}
    statuses = list(post_all(running, "/v1/batch", bodies).values())
    assert set(statuses) <= {200, 400}
    taken = statuses.count(200)
    ids = [event["client_message_id"] for event in running.raw_events()]
    assert ids.count("before") == ids.count("after") == taken
    if letter == "y":
        assert sorted(ids) == sorted([*sent, *["before", "after"] * len(sent)])
    if letter == "n":
        assert set(ids) == {"before", "after"}
        assert taken > len(sent) / 2  # the others cannot be told from the rest of the batch
    assert_unharmed(running, pid)


TWICE = as_property("x", b"1") * 2
BODIES = {
    # name: (body, status on /v1/track, status on /v1/batch)
    "with a byte order mark": (b"\xef\xbb\xbf" + as_property("bom", b"1"), 200, 400),
    "two byte order marks": (b"\xef\xbb\xbf" * 2 + as_property("boms", b"1"), 400, 400),
    "a batch with a byte order mark": (b"\xef\xbb\xbf" + as_batch("in a batch", b"1"), 200, 200),
    "UTF-16": (as_property("x", b"1").decode().encode("utf-16"), 400, 400),
    "UTF-16 LE": (as_property("x", b"1").decode().encode("utf-16-le"), 400, 400),
    "UTF-32": (as_property("x", b"1").decode().encode("utf-32"), 400, 400),
    "two documents": (TWICE, 400, 400),
    "NUL behind": (as_property("x", b"1") + b"\0", 400, 400),
    "depth 100,000": (b"[" * 100_000 + b"]" * 100_000, 200, 400),
    "depth 80,000, open": (b'{"a":' * 80_000, 200, 400),
    "depth 40,000 in a batch": (as_batch("deep", b"[" * 40_000 + b"]" * 40_000), 200, 200),
    "depth 100,000 in a batch": (as_batch("deeper", b"[" * 100_000 + b"]" * 100_000), 200, 400),
    "a list": (b"[" + as_property("x", b"1") + b"]", 200, 400),
    "text": (b'"' + b"x" * 1000 + b'"', 200, 400),
    "null": (b"null", 200, 400),
}


def test_odd_bodies(running: Running) -> None:
    pid = running.service.pid
    expected = {name: statuses for name, (_, *statuses) in BODIES.items()}
    bodies = {name: body for name, (body, *_) in BODIES.items()}
    found = [post_all(running, path, bodies) for path in ("/v1/track", "/v1/batch")]
    assert {name: [statuses[name] for statuses in found] for name in bodies} == expected
    assert {event["client_message_id"] for event in running.raw_events()} == {"bom", "before", "in a batch", "after"}
    assert_unharmed(running, pid)
