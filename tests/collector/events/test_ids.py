"""Event ids, message ids and session ids."""

import uuid
from random import getrandbits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events.event_ids import EventIds
from collector.events.session_key import client_session_id
from schemas.message_ids import MessageIds, canonical_uuid
from tests.collector.made import PROJECT_ID

clocks = st.lists(st.tuples(st.integers(0, 2**47), st.integers(1, 50)), min_size=1, max_size=30)


@given(clocks)
def test_event_ids_rise_whatever_the_clock_does(takes: list[tuple[int, int]]) -> None:
    ids = EventIds(getrandbits)
    given_ids = [event_id for now_ms, count in takes for event_id in ids.take(now_ms, count)]
    assert given_ids == sorted(set(given_ids))
    assert all(uuid.UUID(event_id).version == 7 for event_id in given_ids)
    assert all(uuid.UUID(event_id).variant == uuid.RFC_4122 for event_id in given_ids)


def test_event_id_holds_the_milliseconds_in_its_first_48_bits() -> None:
    (event_id,) = EventIds(getrandbits).take(1_795_000_000_123, 1)
    assert uuid.UUID(event_id).int >> 80 == 1_795_000_000_123


def test_more_requests_than_a_millisecond_has_numbers_borrow_from_the_next() -> None:
    ids = EventIds(getrandbits)
    taken = [ids.take(1000, 1)[0] for _ in range(5000)]
    assert taken == sorted(set(taken))
    assert uuid.UUID(taken[-1]).int >> 80 == 1001


def test_the_largest_random_start_leaves_room_to_count() -> None:
    ids = EventIds(random_bits=lambda bits: 2**bits - 1).take(1, 5000)
    assert len(set(ids)) == 5000
    assert {len(event_id) for event_id in ids} == {36}


def test_two_processes_in_the_same_millisecond_do_not_collide() -> None:
    processes = [EventIds(getrandbits) for _ in range(200)]
    taken = [event_id for process in processes for event_id in process.take(1000, 50)]
    assert len(set(taken)) == len(taken)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
def test_message_id_is_uuid5_of_project_and_text(text: str) -> None:
    expected = text.lower() if canonical_uuid(text) else str(uuid.uuid5(uuid.UUID(PROJECT_ID), text))
    assert MessageIds(PROJECT_ID)(text) == expected


@given(st.uuids())
def test_a_uuid_is_its_own_message_id_in_lower_case(own: uuid.UUID) -> None:
    assert MessageIds(PROJECT_ID)(str(own).upper()) == str(own)


@pytest.mark.parametrize(
    "text", ["", "ajs-next-1-00000000-0000-0000-0000-000000000000", "0" * 32, "g" * 36, "0-" * 18, "{" + "0" * 34 + "}"]
)
def test_what_only_resembles_a_uuid_is_none(text: str) -> None:
    assert canonical_uuid(text) is None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (None, None),
        ("", None),
        ("s" * 100, "s" * 100),
        ("s" * 101, None),
        (1_795_000_000_000, "1795000000000"),
        ("ABCDEF00-0000-4000-8000-000000000000", "abcdef00-0000-4000-8000-000000000000"),
        ("Session One", "Session One"),
    ],
)
def test_client_session_id(sent: str | int | None, kept: str | None) -> None:
    assert client_session_id(sent) == kept
