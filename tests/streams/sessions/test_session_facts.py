"""Facts of a session come from its first event that knows them, whatever comes in between and in whatever order."""

from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.events.deduplicate import deduplicate
from streams.runtime.envelope import UnreadableStateError
from streams.sessions.chains import forget_emitted
from streams.sessions.fold import sessionize
from streams.sessions.rows import SessionRows
from streams.sessions.slices import Slice
from streams.sessions.state import decode_state, encode_state, new_state
from tests.streams.oracle import all_sessions
from tests.streams.universe import (
    CONVERSIONS,
    DEDUP,
    GAP_MS,
    PROJECTS,
    RULES,
    START_MS,
    TENANT,
    Row,
    States,
    made_uuid,
    placed,
    to_frame,
)

KNOWN = ("referrer", "utm_source", "utm_medium", "utm_campaign", "device_type", "country_code", "channel_type")
PAGE = {
    "event_type": "page", "page_path": "/", "page_referrer": "https://www.google.com/", "utm_source": "news",
    "utm_medium": "email", "utm_campaign": "may", "device_type": "desktop", "country_code": "NL",
}  # fmt: skip


def event(number: int, ms: int = 0, **known: Any) -> Row:
    """An event of one visitor that knows nothing but what is given."""
    row: Row = {
        "message_id": made_uuid(number), "tenant_id": TENANT, "project_id": PROJECTS[0],
        "key": f"{TENANT}/{PROJECTS[0]}/v/ann".encode(), "timestamp": START_MS + ms, "received_at": START_MS + ms,
        "event_type": "track", "event_name": "", "anonymous_id": "ann", "user_id": None, "client_session_id": None,
        "page_path": "", "page_url": "", "page_referrer": "", "utm_source": None, "utm_medium": None,
        "utm_campaign": None, "device_type": "", "country_code": "", "channel_type": "web", "is_bot": False,
    }  # fmt: skip
    return row | known


def session_of(rows: list[Row], chunk: int = 1) -> Row:
    """The one session of the rows, folded in chunks, its state encoded and read again after each."""
    states = States()
    for start in range(0, len(rows), chunk):
        part = placed(rows)[start : start + chunk]
        kept = deduplicate(to_frame(part), states.of, DEDUP)
        sessionize(kept.frame, kept.keys, kept.states, CONVERSIONS, RULES)
        emitted = SessionRows()
        (key,) = states.by_key
        emitted.add(key, states.by_key[key], RULES)
        forget_emitted(states.by_key[key], RULES)
        states.by_key[key] = decode_state(encode_state(states.by_key[key]))
    columns = emitted.columns(0)
    assert sum(not deleted for deleted in columns["is_deleted"]) == 1
    return {name: columns[name][-1] for name in KNOWN}


def test_an_event_that_knows_nothing_hides_nothing() -> None:
    for rows in permutations([event(0, 0), event(1, 2, **PAGE), event(2, 5)]):
        assert session_of(list(rows)) == {
            "referrer": "https://www.google.com/", "utm_source": "news", "utm_medium": "email", "utm_campaign": "may",
            "device_type": "desktop", "country_code": "NL", "channel_type": "web",
        }  # fmt: skip


def test_each_fact_is_of_the_first_that_knows_it_across_the_half_hours_of_a_session() -> None:
    rows = [
        event(0, 0, country_code="NL"),
        event(1, GAP_MS - 1, device_type="mobile", country_code="DE"),
        event(2, 2 * GAP_MS - 2, utm_source="ad", device_type="desktop"),
        event(3, 3 * GAP_MS - 3, page_path="/", page_referrer="https://r.example/", utm_source="x", utm_medium="y"),
    ]
    for order in permutations(rows):
        assert session_of(list(order), chunk=2) == {
            "referrer": "https://r.example/", "utm_source": "ad", "utm_medium": None, "utm_campaign": None,
            "device_type": "mobile", "country_code": "NL", "channel_type": "web",
        }  # fmt: skip


def test_a_visit_that_began_directly_has_no_referrer_though_later_pages_name_the_site() -> None:
    rows = [event(0), event(1, 1, page_path="/"), event(2, 2, page_path="/a", page_referrer="https://own.example/")]
    assert session_of(rows)["referrer"] == ""


@pytest.mark.parametrize(
    ("url", "referrer", "is_own"),
    [
        ("https://shop.example/a", "https://shop.example/", True),
        ("https://shop.example/a", "https://shop.example", True),
        ("https://www.Shop.example/a", "http://shop.example:8080/?q", True),
        ("https://shop.example/a", "https://WWW.shop.example/b#c", True),
        ("http://[::1]:80/", "http://[::1]:8080/x", True),
        ("http://[::1]/", "http://[::2]/", False),
        ("https://shop.example/a", "https://blog.shop.example/", False),
        ("https://shop.example/a", "https://shop.example.evil.example/", False),
        ("https://shop.example/a", "https://evil.example/https://shop.example/", False),
        ("https://shop.example/a", "https://shop.example@evil.example/", False),
        ("https://shop.example/a", "android-app://com.example.mail/", False),
        ("", "https://shop.example/", False),
        ("not a url", "not a url", False),
    ],
)
def test_a_site_is_no_referrer_of_its_own_sessions(url: str, referrer: str, is_own: bool) -> None:
    row = event(0, page_path="/a", page_url=url, page_referrer=referrer)
    assert session_of([row])["referrer"] == ("" if is_own else referrer)


some = st.fixed_dictionaries(
    {
        "page_path": st.sampled_from(("", "", "/a")),
        "page_url": st.sampled_from(("", "https://shop.example/", "https://r1.example/a")),
        "page_referrer": st.sampled_from(("", "", "https://r1.example/", "https://r2.example/")),
        "utm_source": st.sampled_from((None, None, "s1", "s2")),
        "utm_campaign": st.sampled_from((None, None, "c1")),
        "device_type": st.sampled_from(("", "", "mobile", "desktop")),
        "country_code": st.sampled_from(("", "", "NL", "DE")),
    }
)


@given(st.lists(st.tuples(st.integers(0, 2 * GAP_MS), some), min_size=1, max_size=6), st.data())
def test_facts_are_those_of_the_oracle_in_any_order(drawn: list[tuple[int, Row]], data: st.DataObject) -> None:
    ordered = sorted(drawn, key=lambda one: one[0])
    at, rows = 0, []
    for number, (ms, known) in enumerate(ordered):
        at = min(ms, at + GAP_MS)
        rows.append(event(number, at, **known))
    (expected,) = all_sessions(rows, RULES, CONVERSIONS).values()
    shuffled = data.draw(st.permutations(rows))
    assert session_of(shuffled, data.draw(st.integers(1, 6))) == {name: expected[name] for name in KNOWN}


FIRST_TOUCH = ["https://r.example/", "news", None, None, "desktop", "", "web"]


def state_of_the_first_layout() -> bytes:
    """A state as workers wrote it before facts had moments of their own."""
    at = START_MS << 20
    piece = [5, at, at + 7, 3, 1, 0, FIRST_TOUCH, at, "ann", at, "/", at + 7, "/b", 0, None, 0, None, "name"]
    return (77).to_bytes(8) + START_MS.to_bytes(8) + msgspec.msgpack.encode([at + 7, b"seen........", [piece]])


def test_a_state_of_the_first_layout_is_read_with_its_facts_dated_by_its_first_event() -> None:
    state = decode_state(state_of_the_first_layout())
    (piece,) = state.slices
    assert (state.applied, state.active_ms, state.newest_at, state.seen) == (
        *(77, START_MS, (START_MS << 20) + 7, b"seen........"),
    )
    assert (piece.cell, piece.events, piece.pages, piece.anonymous_id, piece.exit_page) == (5, 3, 1, "ann", "/b")
    assert piece.session_id == "name"
    at = piece.first_at
    assert (piece.referrer_at, piece.referrer, piece.campaign_at, piece.utm_source) == (at, FIRST_TOUCH[0], at, "news")
    assert (piece.device_at, piece.device_type, piece.country_at, piece.channel_type) == (at, "desktop", 0, "web")
    assert decode_state(encode_state(state)) == state


def test_a_slice_that_does_not_say_which_facts_it_has_keeps_them() -> None:
    """So it stands in states of before slices said it."""
    for rows in permutations([event(0, 0, **PAGE), event(1, 5, **PAGE | {"page_referrer": "r", "device_type": "tv"})]):
        states = States()
        for row in placed(list(rows)):
            kept = deduplicate(to_frame([row]), states.of, DEDUP)
            sessionize(kept.frame, kept.keys, kept.states, CONVERSIONS, RULES)
            ((_, state),) = states.by_key.items()
            packed = msgspec.msgpack.decode(encode_state(state)[17:])
            had = Slice.__struct_fields__.index("had")
            assert packed[2][0][had] == state.slices[0].had > 0
            del packed[2][0][had:]
            states.by_key[row["key"]] = decode_state(encode_state(state)[1:17] + msgspec.msgpack.encode(packed))
            assert states.by_key[row["key"]].slices[0].had == 0
        (piece,) = states.by_key[row["key"]].slices
        assert (piece.referrer, piece.device_type, piece.events) == ("https://www.google.com/", "desktop", 2)


def test_no_layout_is_read_as_another() -> None:
    new = new_state()
    new.slices = decode_state(state_of_the_first_layout()).slices
    packed = msgspec.msgpack.decode(encode_state(new)[17:])
    assert packed[2][0][6] == "web"
    packed[2][0][6] = 7
    with pytest.raises(UnreadableStateError):
        decode_state(encode_state(new)[1:17] + msgspec.msgpack.encode(packed))


def test_of_two_half_hours_that_one_slice_covers_the_earlier_fact_counts() -> None:
    """A session whose start is fixed is one slice; two events of one chunk come late, into two of its half-hours."""
    early = [event(number, 900 * number) for number in range(5)]
    late = [event(6, 2_100, country_code="DE"), event(7, 1_100, country_code="NL")]
    assert session_of([*early, event(5, 9_500), *late], chunk=2)["country_code"] == "NL"
