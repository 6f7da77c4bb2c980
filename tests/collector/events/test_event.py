"""Reading one event: the fast way and the lenient way agree."""

import json
from random import getrandbits
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from collector.events.admit import admit
from collector.events.event import Event, _decode_event, _read_leniently
from collector.events.event_ids import EventIds
from collector.events.parse import MalformedError, parse_batch, parse_single
from tests.collector.events.json_values import values
from tests.collector.made import LIMITS, arrival, as_json, codec, encoders

ids = st.none() | st.text(max_size=20) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | values
times = st.none() | st.text(max_size=30) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | values
texts = st.none() | st.text(max_size=20) | values
objects = st.none() | st.dictionaries(st.text(max_size=5), values, max_size=3) | values
contexts = objects | st.fixed_dictionaries(
    {}, optional={"ip": texts, "userAgent": texts, "sessionId": ids, "page": objects, "tally": values}
)
types = st.sampled_from(["track", "identify", "page", "screen", "group", "alias", "Track", None, 7])
events = st.fixed_dictionaries(
    {"type": types},
    optional={
        **dict.fromkeys(("messageId", "anonymousId", "userId", "groupId", "previousId"), ids),
        **dict.fromkeys(("timestamp", "originalTimestamp", "sentAt"), times),
        **dict.fromkeys(("event", "name", "category"), texts),
        **dict.fromkeys(("properties", "traits"), objects),
        "context": contexts,
        "unknown": values,
    },
)


def as_fields(event: Event) -> dict[str, Any]:
    """The event with its raw members as bytes, so that two can be compared."""
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    raw = ("properties", "traits", "context", "category")
    return {name: bytes(value) if name in raw else value for name, value in fields.items()}


@given(events)
def test_what_the_fast_way_reads_the_lenient_way_reads_alike(sent: dict[str, Any]) -> None:
    raw = as_json(sent)
    try:
        fast = _decode_event(raw)
    except ValueError:
        return
    lenient, repaired = _read_leniently(raw)
    assert as_fields(lenient) == as_fields(fast)
    assert not repaired


@given(st.lists(events | values, max_size=6), contexts, times)
def test_every_event_of_a_batch_is_admitted_or_refused_and_every_record_can_be_read(
    sent: list[Any], context: Any, sent_at: Any
) -> None:
    body = as_json({"batch": sent, "context": context, "sentAt": sent_at})
    admission = admit(parse_batch(body), arrival(), LIMITS, EventIds(getrandbits))
    assert len(admission.admitted) + len(admission.refused) == len(sent)
    raw_events, dead_letters = encoders()
    for event in admission.admitted:
        record = codec("raw_events").decode(raw_events.encode(event))
        assert isinstance(json.loads(record["properties"]), dict)
        assert isinstance(json.loads(record["context"]), dict)
        assert record["anonymous_id"] or record["user_id"]
    payloads = [
        codec("dead_letters").decode(dead_letters.encode(event, arrival().project))["payload"]
        for event in admission.refused
    ]
    assert all(payload in [as_json(event) for event in sent] for payload in payloads)


@given(st.binary(max_size=200), events)
def test_bytes_among_events_never_harm_them(garbage: bytes, good: dict[str, Any]) -> None:
    body = b'{"batch":[' + as_json(good) + b"," + garbage + b"]}"
    alone = admit(parse_single(as_json(good), key_wanted=False), arrival(), LIMITS, EventIds(getrandbits))
    try:
        together = admit(parse_batch(body), arrival(), LIMITS, EventIds(getrandbits))
    except MalformedError:
        return  # brackets or quotes in the garbage: nobody can tell where the good one ends
    if alone.admitted:
        assert together.admitted[0].properties == alone.admitted[0].properties
    else:
        assert together.refused[0].reason is alone.refused[0].reason
