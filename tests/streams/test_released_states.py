"""States that earlier releases wrote are read by this one, as what they were; what it cannot read, it says so."""

from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import asdict

from streams.conversations.state import ConversationStateCodec, silent_ms_of
from streams.identities.state import IdentityStateCodec
from streams.runtime.envelope import Bodies, UnreadableStateError, applied_offset, last_active_ms, version_of
from streams.runtime.operator import StateCodec
from streams.runtime.state_cache import StateCache
from streams.sessions.layouts import READERS, VERSION
from streams.sessions.slices import new_slice
from streams.sessions.state import SessionStateCodec
from tests.streams.released_states import (
    BROUGHT,
    CONVERSATIONS,
    DELETED,
    IDENTITIES,
    LINKS,
    MINTED,
    SESSIONS,
    START_MS,
    USERS,
    VISITORS,
    moment,
)
from tests.streams.runtime.tables import FakeTable

CODECS: Final[dict[str, StateCodec[Any]]] = {
    "sessions": SessionStateCodec(),
    "identities": IdentityStateCodec(),
    "conversations": ConversationStateCodec(),
}
VALUES: Final = {
    "sessions": [value for _, value, _ in SESSIONS],
    "identities": [value for _, value in IDENTITIES],
    "conversations": [value for _, value in CONVERSATIONS],
}
NEWEST: Final = {table: values[-1] for table, values in VALUES.items()}


@pytest.mark.parametrize(("version", "value", "piece"), SESSIONS)
def test_session_states_of_every_release_are_read(version: int | None, value: bytes, piece: dict[str, Any]) -> None:
    state = SessionStateCodec.decode(value)
    assert version_of(value) == (version or 0)
    assert (state.applied, state.active_ms, state.newest_at) == (77, START_MS + 1, moment(2))
    assert state.seen == bytes(range(24))
    assert [asdict(found) for found in state.slices] == [asdict(new_slice(0)) | piece]
    assert (state.born_ms, state.late_round) == ((START_MS + 3, 2) if (version or 0) >= 2 else (0, 0))


@pytest.mark.parametrize(("version", "value"), IDENTITIES)
def test_identity_states_of_every_release_are_read(version: int | None, value: bytes) -> None:
    state = IdentityStateCodec().decode(value)
    assert version_of(value) == (version or 0)
    assert (state.applied, state.active_ms) == (78, START_MS + 5)
    deleted = DELETED if version == 2 else dict.fromkeys(LINKS, -1)
    assert {user: asdict(link) for user, link in state.claims.links.items()} == {
        user: link | {"deleted_ms": deleted[user]} for user, link in LINKS.items()
    }
    assert {name: asdict(one) for name, one in state.claims.minted.items()} == (MINTED if version == 2 else {})
    assert {name: asdict(one) for name, one in state.claims.brought.items()} == (BROUGHT if version == 2 else {})
    assert state.claims.tied == (("ann", "wamid.1") if version == 2 else None)
    assert {name: asdict(sighting) for name, sighting in state.claims.visitors.items()} == VISITORS
    assert {name: asdict(sighting) for name, sighting in state.claims.users.items()} == USERS


def test_states_of_conversations_are_read_as_what_they_were() -> None:
    """The members have the moments and numbers 1 to 49, each its own: two that change places are seen."""
    ((version, value),) = CONVERSATIONS
    state = ConversationStateCodec().decode(value)
    assert (version_of(value), state.applied) == (version, 79)
    assert (state.active_ms, state.silent_ms, silent_ms_of(value)) == (START_MS + 30, *2 * [START_MS + 31])
    customer, names = state.customer, state.names
    assert asdict(customer.facts["cwamid.1"]) == {
        "kind": "customer", "at": START_MS + 32, "is_standby": True, "sender": "bot", "trust": 2, "is_template": True,
        "user_id": "user-33", "ctwa_clid": "click-34", "ad_id": "ad-35",
    }  # fmt: skip
    assert customer.links["wamid.1"]["token-36"].session_id == "session-39"
    assert (customer.sealed.until_ms, customer.sealed.cell, customer.sealed.began) == (START_MS + 41, 42, 43)
    assert customer.sealed.episode is not None
    assert customer.sealed.episode.agent_ms == 16
    assert (customer.sealed_ids, customer.looked_ms) == (bytes(range(16)), START_MS + 44)
    assert customer.emitted == {"conversation-45": 46}
    assert (names.first_ms, names.together, names.aliases) == (
        START_MS + 47, {"101": START_MS + 48}, {"US.2": START_MS + 49},
    )  # fmt: skip


@pytest.mark.parametrize("table", CODECS)
def test_this_release_writes_the_newest_bytes_and_no_others(table: str) -> None:
    """Red when a layout changes without a new version, whichever way: a field more, a field less, two that swap."""
    codec, newest = CODECS[table], NEWEST[table]
    assert codec.encode(codec.decode(newest)) == newest


def test_every_version_has_its_bytes_here() -> None:
    assert {version or 0 for version, _, _ in SESSIONS} == set(READERS)
    assert SESSIONS[-1][0] == VERSION


@pytest.mark.parametrize("table", CODECS)
def test_what_the_runtime_reads_is_read_in_every_envelope(table: str) -> None:
    values = VALUES[table]
    state = CODECS[table].decode(NEWEST[table])
    assert {(applied_offset(value), last_active_ms(value)) for value in values} == {(state.applied, state.active_ms)}


@pytest.mark.parametrize("applied", [-1, 0, 2**48])
def test_an_envelope_without_a_version_is_told_from_one_with(applied: int) -> None:
    value = applied.to_bytes(8, signed=True) + START_MS.to_bytes(8) + b"\x93\x00\xc4\x00\x90"
    assert (version_of(value), applied_offset(value), last_active_ms(value)) == (0, applied, START_MS)
    assert SessionStateCodec.decode(value).applied == applied


@pytest.mark.parametrize("table", CODECS)
def test_a_version_of_a_newer_release_is_refused_by_its_number(table: str) -> None:
    value = b"\x2a" + NEWEST[table][1:]
    with pytest.raises(UnreadableStateError, match=f"{table} has version 42, and this release reads .*newer"):
        CODECS[table].decode(value)
    # The envelope is that of every release: a restore and eviction need not know what is in it.
    assert applied_offset(value) == applied_offset(NEWEST[table])


def test_a_field_that_the_layout_does_not_have_is_never_dropped() -> None:
    for table, codec in CODECS.items():
        packed = msgspec.msgpack.decode(NEWEST[table][17:])
        with pytest.raises(UnreadableStateError, match=f"not of its version {NEWEST[table][0]}"):
            codec.decode(NEWEST[table][:17] + msgspec.msgpack.encode([*packed, "new"]))
    packed = msgspec.msgpack.decode(NEWEST["sessions"][17:])
    packed[2][0].append("new")
    with pytest.raises(UnreadableStateError, match=f"not of its version {VERSION}"):
        SessionStateCodec.decode(NEWEST["sessions"][:17] + msgspec.msgpack.encode(packed))


@pytest.mark.parametrize("value", [b"", b"\x00", b"\x01", b"\x01" * 17, NEWEST["sessions"][:-1]])
def test_damaged_values_are_refused(value: bytes) -> None:
    with pytest.raises(UnreadableStateError):
        SessionStateCodec.decode(value)


def test_the_key_of_what_cannot_be_read_is_named() -> None:
    table = FakeTable("sessions")
    table.store.write(3, [(b"t/p/v/ann", b"\x2a" + NEWEST["sessions"][1:])])
    with pytest.raises(UnreadableStateError, match=r"version 42.*t/p/v/ann.*partition 3"):
        StateCache(table, SessionStateCodec()).state_of(3, b"t/p/v/ann")


def test_a_version_that_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(ValueError, match="version 2 of t"):
        Bodies("t", 2, msgspec.msgpack.encode, {1: msgspec.msgpack.decode})
