"""Traits, names, groups, ids and empty members, wherever SDKs put them and however their languages write them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events.admit import RawEvent
from collector.events.event import number_as_id
from tests.collector.made import admit_all, admit_one, batch, track

IDENTIFY = {"type": "identify", "userId": "u"}


def admitted(event: Any, event_type: str | None = None) -> RawEvent:
    """The raw event that one event becomes."""
    admission = admit_one(event, event_type)
    assert admission.refused == []
    (raw_event,) = admission.admitted
    return raw_event


def notes(event: RawEvent) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.context).get("tally", {})
    return found


# --- traits


@pytest.mark.parametrize("empty", [{}, {"traits": {}}, {"traits": None}, {"traits": []}, {"properties": {}}])
def test_traits_of_the_context_are_those_of_an_identify_call_byte_for_byte(empty: dict[str, Any]) -> None:
    sent = (
        json.dumps(IDENTIFY | empty)[:-1].encode() + b',"context":{"traits":{ "n":1.50,"big":12345678901234567890 }}}'
    )
    assert admitted(sent).properties == b'{ "n":1.50,"big":12345678901234567890 }'


def test_a_trait_of_the_call_goes_before_one_of_the_context() -> None:
    context = {"traits": {"plan": "old", "city": "Oslo"}}
    assert json.loads(admitted(IDENTIFY | {"traits": {"plan": "new", "n": 1}, "context": context}).properties) == {
        "plan": "new",
        "city": "Oslo",
        "n": 1,
    }
    assert json.loads(admitted(IDENTIFY | {"properties": {"plan": "new"}, "context": context}).properties) == {
        "plan": "new",
        "city": "Oslo",
    }


@pytest.mark.parametrize("traits", [None, [], {}, "x", 7, [1]])
def test_traits_of_the_context_that_say_nothing_change_nothing(traits: object) -> None:
    event = IDENTIFY | {"traits": {"a": 1}, "context": {"traits": traits}}
    assert admitted(event).properties == b'{"a":1}'


@pytest.mark.parametrize(
    "event", [track(), {"type": "page", "userId": "u"}, {"type": "group", "userId": "u", "groupId": 1}]
)
def test_traits_of_the_context_are_the_user_s_and_no_properties_of_other_calls(event: dict[str, Any]) -> None:
    assert admitted(event | {"context": {"traits": {"a": 1}}}).properties == b"{}"


def test_traits_in_the_context_of_a_batch_count_too() -> None:
    (event,) = admit_all(batch(IDENTIFY, context={"traits": {"a": 1}})).admitted
    assert event.properties == b'{"a":1}'


# --- names and groups


@pytest.mark.parametrize("event_type", ["page", "screen"])
def test_name_and_category_of_a_page_may_stand_in_its_properties(event_type: str) -> None:
    event = {"type": event_type, "userId": "u", "properties": {"name": "Docs", "category": "Help"}}
    found = admitted(event)
    assert (found.event_name, notes(found)) == ("Docs", {"category": "Help"})
    assert json.loads(found.properties) == event["properties"]
    found = admitted(event | {"name": "Own", "category": "Mine"})
    assert (found.event_name, notes(found)) == ("Own", {"category": "Mine"})
    assert admitted(event | {"name": ""}).event_name == "Docs"


@pytest.mark.parametrize("properties", [{}, {"name": 7, "category": ["c"]}, {"name": None}])
def test_what_is_no_name_is_none(properties: dict[str, Any]) -> None:
    found = admitted({"type": "page", "userId": "u", "properties": properties})
    assert (found.event_name, found.context) == ("", b"{}")


def test_properties_of_a_track_call_do_not_name_it() -> None:
    found = admitted(track(properties={"name": "Shoe", "category": "Shoes"}))
    assert (found.event_name, found.context) == ("Signed Up", b"{}")


@pytest.mark.parametrize("event_type", ["track", "page", "screen", "identify"])
def test_the_group_of_other_calls_stands_in_the_context(event_type: str) -> None:
    sent = track(groupId="g-1", context={"a": 1}) | {"type": event_type}
    found = admitted(sent)
    assert (found.group_id, found.context) == (None, b'{"a":1,"groupId":"g-1"}')
    assert admitted(sent | {"context": None}).context == b'{"groupId":"g-1"}'
    assert json.loads(admitted(sent | {"groupId": 7}).context) == {"a": 1, "groupId": "7"}


def test_a_group_that_the_context_has_stays_and_the_call_s_is_noted() -> None:
    found = admitted(track(groupId="g-1", context={"groupId": "g-2"}))
    assert json.loads(found.context) == {"groupId": "g-2", "tally": {"group_id": "g-1"}}
    assert json.loads(admitted(track(groupId="g-1", context={"groupId": None})).context)["groupId"] == "g-1"


# --- empty members


@pytest.mark.parametrize("empty", [b"[]", b"[ ]", b"null", b'""', b"{}", b"{ }"])
@pytest.mark.parametrize("member", ["properties", "traits", "context"])
@pytest.mark.parametrize("event_type", ["track", "identify", "page", "group"])
def test_an_empty_member_of_any_type_is_an_empty_object(event_type: str, member: str, empty: bytes) -> None:
    sent = b'{"userId":"u","event":"E","groupId":"g","%s":%s}' % (member.encode(), empty)
    found = admitted(sent, event_type)
    assert json.loads(found.properties) == {}
    assert json.loads(found.context).keys() <= {"groupId"}


def test_an_empty_context_does_not_hide_that_of_the_batch() -> None:
    (event,) = admit_all(batch(track(context=[]), context={"a": 1})).admitted
    assert event.context == b'{"a":1}'


# --- numbers as ids


@pytest.mark.parametrize(
    ("sent", "user_id"),
    [
        *(
            (b"12345", "12345"),
            (b"12345.0", "12345"),
            (b"1.2345e4", "12345"),
            (b"1e3", "1000"),
            (b"1234500e-2", "12345"),
        ),
        *((b"9007199254740993.0", "9007199254740993"), (b"1.5", "1.5"), (b"-7.0", "-7"), (b"0.0", "0")),
        *((b"1e20", "1" + "0" * 20), (b"1e21", "1e21"), (b"1e-400", "1e-400"), (b"1e99999999999", "1e99999999999")),
        (b'"12345.0"', "12345.0"),
    ],
)
def test_a_whole_number_is_one_id_however_it_is_written(sent: bytes, user_id: str) -> None:
    found = admitted(b'{"event":"E","userId":%s,"context":{"sessionId":%s}}' % (sent, sent), "track")
    assert (found.user_id, found.client_session_id) == (user_id, user_id)


@given(st.integers(-(10**21) + 1, 10**21 - 1), st.integers(0, 30))
def test_no_digit_of_a_whole_number_is_lost(number: int, zeros: int) -> None:
    assert number_as_id(f"{number}.{'0' * (zeros + 1)}") == str(number)
    assert number_as_id(f"{number}{'0' * zeros}e-{zeros}") in (str(number), f"{number}{'0' * zeros}e-{zeros}")
