"""What no message could hold: an output is measured before it is published, and its record is a dead letter."""

import json
from typing import Any, Final

import pytest

from schemas import keys
from schemas.codec import Codec
from schemas.outcomes import DeadReason, Remark
from schemas.settings import LATE_SLICES, SEEN_ID_BYTES, SLICE_BYTES_MAX, load
from streams.events.chain import EventChain
from streams.identities.chain import ClaimChain
from streams.identities.handshakes import HANDSHAKE_ID_BYTES_MAX, HANDSHAKE_IDS_MAX
from streams.identities.state import IdentityStateCodec
from streams.runtime.operator import OUTPUT_BYTES_MAX, BadRecordsError, EpochEnd, Outgoing, Outputs, Records
from streams.runtime.state_cache import StateCache
from streams.sessions.late import LATE_SLICES_MAX
from streams.sessions.slices import new_slice
from streams.sessions.state import SEEN_BYTES, SessionStateCodec
from streams.topology import rules
from tests.streams.raw import IDS, RAW, key_of, raw_event
from tests.streams.runtime.tables import FakeTable
from tests.streams.universe import PROJECTS, TENANT, Row
from tests.streams.world import conversions, simple_lookups

CLAIMS: Final = Codec("identity_claims", IDS)


def events() -> EventChain:
    states = StateCache(FakeTable("sessions"), SessionStateCodec())
    return EventChain("raw", states, rules(load({})), simple_lookups(), conversions(), IDS, lambda: 7)


def claims() -> ClaimChain:
    states = StateCache(FakeTable("identities"), IdentityStateCodec())
    return ClaimChain("claims", states, IDS, frozenset(), 100, 10**9, 1, lambda: 7)


def records(*rows: Row) -> Records:
    count = len(rows)
    return Records([0] * count, range(count), [key_of(row) for row in rows], [RAW.encode(row) for row in rows])


def page(number: int, path: str) -> Row:
    context = json.dumps({"page": {"url": f"https://shop.example{path}", "path": path}})
    return raw_event(number, event_type="page", context=context)


def size_of(output: Outgoing) -> int:
    return len(output["key"]) + len(output["value"] or b"")


def sizes(outputs: Outputs) -> list[int]:
    return [size_of(output) for of_topic in outputs.records.values() for output in of_topic]


def states_of(end: EpochEnd) -> list[int]:
    return [len(key) + len(value or b"") for pairs in end.changes.by_partition.values() for key, value in pairs]


def test_an_event_that_grows_too_large_is_named_and_the_others_go_on_without_it() -> None:
    chain = events()
    chunk = records(page(1, "/a"), page(2, "/" + "u" * 900_000), page(3, "/b"))
    with pytest.raises(BadRecordsError) as refused:
        chain.process(chunk)
    assert [(bad.index, bad.reason) for bad in refused.value.bad] == [(1, DeadReason.OUTPUT_TOO_LARGE)]
    chain.rollback()
    assert chain.process(chunk.only([0, 2])).kept == 2
    assert max(sizes(chain.dead_letters(chunk, refused.value.bad))) <= OUTPUT_BYTES_MAX


def test_a_session_of_many_large_texts_is_shortened_and_fits() -> None:
    chain = events()
    long = json.dumps({"page": {"path": "/" + "p" * 1_030_000}})
    events_of_one = [raw_event(number, event_type="page", context=long) for number in range(2)]
    chain.process(records(*events_of_one, raw_event(2, user_id="u" * 100_000)))
    end = chain.end_epoch()
    assert len(end.outputs.records["sessions"]) == 1
    assert max(sizes(end.outputs) + states_of(end)) <= OUTPUT_BYTES_MAX


def claim(**fields: Any) -> Row:
    return {
        "source_offset": 1, "source_partition": 0, "source_generation": 1, "tenant_id": TENANT,
        "project_id": PROJECTS[0], "anonymous_id": "ann", "user_id": "u", "handshake_token": "",
        "link_source": "identify", "linked_at": 1_795_000_000_000, "traits": "{}",
    } | fields  # fmt: skip


def test_a_claim_whose_identity_is_too_large_is_named() -> None:
    chain = claims()
    row = claim(anonymous_id="a" * 1_200_000)
    key = keys.of_claim(TENANT, row["anonymous_id"])
    with pytest.raises(BadRecordsError, match="identities would have"):
        chain.process(Records([0], [0], [key], [CLAIMS.encode(row)]))


def test_the_ids_seen_with_a_token_fit_into_its_state() -> None:
    chain = claims()
    rows = [
        claim(**{side: f"{number}" + "x" * (HANDSHAKE_ID_BYTES_MAX - 1), other: ""}, handshake_token="t")
        for side, other in (("anonymous_id", "user_id"), ("user_id", "anonymous_id"))
        for number in range(HANDSHAKE_IDS_MAX)
    ]
    rows.append(claim(anonymous_id="x" * (HANDSHAKE_ID_BYTES_MAX + 1), user_id="", handshake_token="t2"))
    values = [CLAIMS.encode(row) for row in rows]
    outputs = chain.process(Records([0] * len(rows), range(len(rows)), [b"tenant/h/t"] * len(rows), values))
    assert (outputs.dead, outputs.remarks) == ({}, {Remark.ID_SHARED: 1})
    assert max(sizes(outputs) + states_of(chain.end_epoch())) <= OUTPUT_BYTES_MAX


def test_what_settings_reckon_with_is_what_states_hold() -> None:
    codec = SessionStateCodec()
    state = codec.new()
    empty = len(codec.encode(state))
    for number in range(400):
        piece = new_slice(2**50 + number)
        for name in piece.__struct_fields__:
            if isinstance(getattr(piece, name), str | None):
                setattr(piece, name, "\U0001f600" * 4_000)
        piece.session_id = piece.ceased_id = "s" * 36
        piece.channel_type, piece.device_type, piece.country_code = "web", "desktop", "DE"
        state.slices.append(piece)
    assert len(codec.encode(state)) - empty < 400 * SLICE_BYTES_MAX
    assert (SEEN_BYTES, LATE_SLICES_MAX) == (SEEN_ID_BYTES, LATE_SLICES)
