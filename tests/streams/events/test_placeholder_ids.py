"""Ids that name nobody tie nobody."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events.session_key import visitor_of
from collector.projects.directory import ProjectDirectory
from schemas import keys
from schemas.placeholders import PATTERN, WORDS, is_placeholder
from schemas.project_settings import ProjectSettings
from streams.events.chain import EventChain
from streams.events.claims import PlaceholderIds, claims
from streams.runtime.operator import Records
from streams.runtime.state_cache import StateCache
from streams.sessions.state import SessionStateCodec
from tests.collector.made import project_fields
from tests.streams.raw import IDS, RAW, key_of, raw_event
from tests.streams.runtime.tables import FakeTable
from tests.streams.world import conversions, rules, simple_lookups

NOBODY = (
    *("", " ", "0", "000", "-", "-1", "null", "NULL", "Null ", "undefined", "None", "nil", "NaN", "[object Object]"),
    *(
        "anonymous",
        "Guest",
        "00000000-0000-0000-0000-000000000000",
        "00000000000000000000000000000000",
        '"null"',
        "\t0\n",
        "undefined" + 20 * " ",
        30 * "'" + "[object Object]" + 30 * "\u00a0",
        99 * "0",
    ),
)
NONE: Mapping[str, frozenset[str]] = MappingProxyType({})
PROJECTS = ("5b1c0c0e-7d0f-4a53-9b6a-0a1f8f0b7a11", "5b1c0c0e-7d0f-4a53-9b6a-0a1f8f0b7a12", "no uuid")
SETTINGS = ("", '{"placeholder_ids": ["No-User"]}', '{"placeholder_ids": ["nobody"]}', '{"placeholder_ids": 7}', "[")
SOMEBODY = ("1", "10", "-2", "u-0", "nullable", "anna", "guest-7", "00000000-0000-0000-0000-000000000001", "é", "no")


def claimed(own: Mapping[str, frozenset[str]] = NONE, **members: object) -> list[tuple[str, str, str]]:
    """(link source, visitor, user) of the claims that one event makes. own: placeholders by project."""
    row = {
        "index": 0, "source_offset": 1, "source_partition": 0, "tenant_id": "t", "project_id": "p",
        "event_type": "identify", "event_name": "", "anonymous_id": "ann",
        "user_id": "u", "previous_id": None, "handshake_token": None,
        "timestamp": 1, "properties": "{}",
    } | members  # fmt: skip
    texts = ("anonymous_id", "user_id", "previous_id", "handshake_token")
    frame = pl.DataFrame([row], schema_overrides=dict.fromkeys(texts, pl.String))
    return claims(frame, own).select("link_source", "anonymous_id", "user_id").rows()


@pytest.mark.parametrize("nobody", NOBODY)
def test_an_id_that_names_nobody_makes_no_link(nobody: str) -> None:
    assert is_placeholder(nobody)
    assert claimed(user_id=nobody) == []
    assert claimed(anonymous_id=nobody) == []
    assert claimed(event_type="track", event_name="Signed In", user_id=nobody) == []
    assert claimed(event_type="alias", previous_id=nobody) == []
    assert claimed(event_type="alias", previous_id="old", user_id=nobody) == []


@pytest.mark.parametrize("somebody", SOMEBODY)
def test_an_id_that_only_looks_like_one_of_them_makes_its_link(somebody: str) -> None:
    assert not is_placeholder(somebody)
    assert claimed(user_id=somebody) == [("identify", "ann", somebody)]
    assert claimed(anonymous_id=somebody) == [("identify", somebody, "u")]
    assert claimed(event_type="alias", previous_id=somebody) == [("alias", somebody, "u")]


@pytest.mark.parametrize("nobody", NOBODY)
def test_a_handshake_knows_only_the_side_that_has_a_name(nobody: str) -> None:
    assert claimed(event_type="track", handshake_token="t", user_id=nobody) == [("handshake", "ann", "")]
    assert claimed(event_type="track", handshake_token="t", anonymous_id=nobody) == [("handshake", "", "u")]
    assert claimed(event_type="track", handshake_token="t", anonymous_id=nobody, user_id=nobody) == []
    assert claimed(event_type="track", handshake_token=nobody) == []


@given(st.text() | st.sampled_from(WORDS) | st.text("0- \"'\t-1nul", max_size=12))
def test_collector_and_streams_agree_on_who_is_nobody(text: str) -> None:
    frame = claimed(user_id=text)
    assert (frame == []) == is_placeholder(text)
    assert bool(re.search(PATTERN, text)) <= is_placeholder(text) or "\n" in text


@pytest.mark.parametrize("nobody", ["no-user", "NO-USER", ' "no-user" ', "İstanbul", "-1-"])
def test_a_project_has_placeholders_of_its_own(nobody: str) -> None:
    words = ProjectSettings(placeholder_ids=frozenset({"No-User", "İSTANBUL", "-1-"})).placeholder_words()
    own = {"p": words, "other": frozenset({"ann", "u"})}
    assert claimed(user_id=nobody) != []
    assert claimed(own, user_id=nobody) == []
    assert claimed(own, anonymous_id=nobody) == []
    assert claimed(own, event_type="alias", previous_id=nobody) == []
    assert claimed(own, event_type="track", handshake_token=nobody) == []
    assert claimed(own, project_id="stranger", user_id=nobody) == [("identify", "ann", nobody)]
    assert claimed(own) == [("identify", "ann", "u")]
    assert is_placeholder(nobody, words)
    assert visitor_of(nobody, None, "192.0.2.1", "A") == nobody
    assert visitor_of(nobody, None, "192.0.2.1", "A", words) != visitor_of(nobody, None, "192.0.2.2", "A", words)


@given(st.text(min_size=1), st.text())
def test_collector_and_streams_agree_on_who_is_nobody_in_a_project(own: str, text: str) -> None:
    words = ProjectSettings(placeholder_ids=frozenset({own})).placeholder_words()
    assert (claimed({"p": words}, user_id=text) == []) == is_placeholder(text, words)
    assert (claimed({"p": words}, user_id=own.upper()) == []) == is_placeholder(own.upper(), words)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("k1", "k2", "k3")),
            st.none() | st.tuples(st.sampled_from(PROJECTS), st.sampled_from(SETTINGS), st.integers(0, 3)),
        )
    )
)
def test_collector_and_streams_agree_on_the_placeholders_of_every_project(
    history: list[tuple[str, tuple[str, str, int] | None]],
) -> None:
    collectors, streams_own = ProjectDirectory(), PlaceholderIds()
    for write_key, told in history:
        record = None
        if told is not None:
            project_id, settings, second = told
            at = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
            record = project_fields(write_key=write_key, project_id=project_id, settings=settings, updated_at=at)
        for directory in (collectors, streams_own):
            with suppress(ValueError):  # as the follower does
                directory.apply(write_key, record)
        for project_id in PROJECTS:
            assert collectors.placeholders(project_id) == streams_own.by_project.get(project_id, frozenset())


def test_strangers_with_a_placeholder_are_visitors_of_their_own_and_their_retries_are_known() -> None:
    nil = "00000000-0000-0000-0000-000000000000"
    one, other = visitor_of(nil, None, "192.0.2.1", "A"), visitor_of(nil, None, "192.0.2.2", "A")
    assert one != other
    assert one == visitor_of(nil, None, "192.0.2.1", "A")
    assert keys.of_raw_event("t/p/", one, None).startswith(b"t/p/v/" + nil.encode())
    assert keys.of_raw_event("t/p/", one, "17") != keys.of_raw_event("t/p/", other, "17")


def test_whoever_has_a_name_is_found_by_it() -> None:
    assert visitor_of("ann", "undefined", "192.0.2.1", "A") == "ann"
    assert visitor_of("undefined", "u-7", "192.0.2.1", "A") == "u-7"
    assert visitor_of("", "u-7", "192.0.2.1", "A") == "u-7"


def test_a_worker_takes_new_placeholders_from_its_next_chunk_on() -> None:
    own = PlaceholderIds()
    states = StateCache(FakeTable("sessions"), SessionStateCodec())
    chain = EventChain("raw", states, rules(), simple_lookups(), conversions(), IDS, lambda: 7, own)

    def claims_of(offset: int) -> int:
        event = raw_event(offset, event_type="identify", event_name="", anonymous_id="ann", user_id="No-User")
        outputs = chain.process(Records([0], [offset], [key_of(event)], [RAW.encode(event)]))
        return len(outputs.records["identity_claims"])

    project = {"project_id": raw_event(0)["project_id"], "settings": '{"placeholder_ids": ["no-user"]}'}
    assert claims_of(0) == 1
    own.apply("key", project)
    assert claims_of(1) == 0
    own.apply("key", None)
    assert claims_of(2) == 1
