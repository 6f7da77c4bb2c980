"""What deduplicates an event is one thing to all who ask: collector, streams, trace, and the chaos proof."""

import uuid
from typing import Final

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.message_ids import CANONICAL_UUID, MessageIds, canonical_uuid
from sinks.ledger.trace import names_of, needles
from tests.chaos.expected import message_id

PROJECT: Final = "00000000-0000-4000-8000-0000000000b1"
DIGITS: Final = "0123456789abcdefABCDEF"


@st.composite
def dashed_oddly(draw: st.DrawFn) -> str:
    """The digits of a UUID with up to six dashes anywhere: Python's own UUID takes them all."""
    digits = [*draw(st.text(DIGITS, min_size=32, max_size=32))]
    for place in draw(st.lists(st.integers(0, 32), max_size=6)):
        digits.insert(place, "-")
    return "".join(digits)


texts = (
    st.uuids().map(str)
    | st.uuids().map(lambda own: str(own).upper())
    | st.uuids().map(lambda own: f"{{{own}}}")
    | st.uuids().map(lambda own: f"{own}\n")
    | st.uuids().map(lambda own: f"urn:uuid:{own}")
    | dashed_oddly()
    | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
)


@given(texts)
@example(f"----{'0' * 32}")
@example("00000000-0000-4000-8000-00000000000１")  # a digit, but none of ASCII's
@example("ſ0000000-0000-4000-8000-000000000000")  # what is an s in another case
def test_all_have_one_mapping(text: str) -> None:
    mapped = MessageIds(PROJECT)(text)
    own = canonical_uuid(text)
    assert mapped == (own or str(uuid.uuid5(uuid.UUID(PROJECT), text)))
    assert mapped == message_id(text, PROJECT)
    assert names_of(text, [PROJECT], []) == {(PROJECT, mapped)}
    assert own is None or own.encode() in needles(text)


@given(texts)
def test_whatever_is_sent_maps_to_what_streams_takes(text: str) -> None:
    """The column's check of streams holds for just the ids that the mapping gives."""
    column = pl.Series([text, MessageIds(PROJECT)(text)], dtype=pl.String)
    taken = column.str.contains(f"^{CANONICAL_UUID}$").to_list()
    assert taken == [canonical_uuid(text) == text, True]


@given(texts)
def test_a_uuid_is_its_digits_in_groups_of_8_4_4_4_and_12(text: str) -> None:
    groups = text.split("-")
    is_one = [len(group) for group in groups] == [8, 4, 4, 4, 12] and set("".join(groups)) <= set(DIGITS)
    assert canonical_uuid(text) == (text.lower() if is_one else None)
