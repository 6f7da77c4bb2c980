"""Session states as bytes, and the hashes they keep."""

from typing import Final

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given

from streams.events.deduplicate import deduplicate
from streams.runtime.envelope import applied_offset, last_active_ms
from streams.sessions.chains import forget_emitted, session_id
from streams.sessions.fold import sessionize
from streams.sessions.late import LATE_SLICES_MAX
from streams.sessions.slices import new_slice
from streams.sessions.state import SEEN_BYTES, SessionState, decode_state, encode_state, new_state
from streams.uuids import hash_uuids, named_uuid
from tests.streams.oracle import hash_uuid
from tests.streams.universe import CONVERSIONS, DEDUP, RULES, Row, States, enriched_rows, made_uuid, placed, to_frame

RECORD_BYTES_MAX: Final = 2 * 2**20
PINNED_HASHES: Final = [2928767516950378287, 13304805537502990871]
PINNED_NAME: Final = "51a530be-0833-51bf-8372-7bfb6caeb098"


def folded(rows: list[Row]) -> States:
    states = States()
    kept = deduplicate(to_frame(rows), states.of, DEDUP)
    sessionize(kept.frame, kept.keys, kept.states, CONVERSIONS, RULES)
    return states


@given(st.lists(enriched_rows(), min_size=1, max_size=15).map(placed))
def test_a_state_comes_back_from_its_bytes(rows: list[Row]) -> None:
    for state in folded(rows).by_key.values():
        forget_emitted(state, RULES)
        value = encode_state(state)
        assert decode_state(value) == state
        assert (applied_offset(value), last_active_ms(value)) == (state.applied, state.active_ms)


@given(st.integers(-1, 2**62), st.integers(0, 2**43))
def test_the_larger_offset_has_the_larger_value(applied: int, active_ms: int) -> None:
    state = SessionState(applied, active_ms, 0, b"", [], set(), set())
    assert applied_offset(encode_state(state)) == applied
    assert last_active_ms(encode_state(state)) == active_ms


def test_a_state_fits_into_a_changelog_record_whatever_clients_send() -> None:
    state = new_state()
    state.seen = bytes(10_000 * SEEN_BYTES)
    long = "\N{WOMAN}" * 8_000
    for cell in range(100 + LATE_SLICES_MAX):
        piece = new_slice(cell)
        piece.referrer = piece.utm_source = piece.utm_campaign = long
        piece.anonymous_id = piece.entry_page = piece.exit_page = long
        piece.conversion_event = piece.user_id = long
        state.slices.append(piece)
    value = encode_state(state)
    assert len(value) < RECORD_BYTES_MAX - 2**17
    read = decode_state(value)
    assert read == state
    assert [piece.cell for piece in read.slices] == list(range(100 + LATE_SLICES_MAX))
    first = read.slices[0]
    assert (first.referrer, first.utm_source, first.utm_medium, first.utm_campaign) == (
        *(long[:100], long[:100], None, long[:100]),
    )


def test_an_ordinary_state_keeps_its_texts_whole() -> None:
    state = new_state()
    piece = new_slice(0)
    piece.entry_page = "/a" * 5_000
    state.slices.append(piece)
    assert decode_state(encode_state(state)).slices[0].entry_page == "/a" * 5_000


@given(st.lists(st.uuids(), max_size=50))
def test_the_column_of_hashes_is_that_of_each_text(ids: list[object]) -> None:
    texts = [str(one) for one in ids]
    assert hash_uuids(pl.Series(texts, dtype=pl.String)).tolist() == [hash_uuid(text) for text in texts]


def test_hashes_are_what_they_were_in_the_first_version() -> None:
    # Kept in state for a week: another value here means that every duplicate of that week is taken for new.
    found = hash_uuids(pl.Series(["00000000-0000-0000-0000-000000000000", "6f1e2b34-5c6d-4e7f-8a9b-0c1d2e3f4a5b"]))
    assert found.dtype == np.uint64
    assert found.tolist() == PINNED_HASHES


def test_names_are_what_they_were_in_the_first_version() -> None:
    assert named_uuid("tenant/project/v/ann/997222") == PINNED_NAME
    assert session_id("tenant/project/v/ann", 997_222, new_state(), RULES) == PINNED_NAME


@pytest.mark.parametrize("text", ["", "short", made_uuid(1) + "0"])
def test_a_text_of_another_length_has_no_hash(text: str) -> None:
    with pytest.raises(ValueError, match="36 characters"):
        hash_uuids(pl.Series([text]))


def test_hashes_of_ids_that_differ_in_one_digit_are_spread() -> None:
    texts = [f"00000000-0000-4000-8000-{number:012x}" for number in range(20_000)]
    hashes = hash_uuids(pl.Series(texts))
    assert len(np.unique(hashes)) == len(texts)
    # 20 bits of it break ties between events of one millisecond.
    assert len(np.unique(hashes >> np.uint64(44))) > 19_500
