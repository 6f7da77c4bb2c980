"""What a state has applied is skipped by its offset, also where the message id is not remembered any more."""

import pytest

from streams.events.deduplicate import DedupRules, deduplicate
from streams.sessions.state import new_state
from tests.streams.raw import key_of, raw_event
from tests.streams.universe import Row, to_frame

RULES = DedupRules(window_s=100, seen_ids_max=100)


def rows(*offsets: int) -> list[Row]:
    """Events of one visitor, a message id each."""
    return [
        {**event, "key": key_of(event), "source_partition": 0, "source_offset": offset}
        for offset in offsets
        for event in [raw_event(offset)]
    ]


@pytest.mark.parametrize(
    ("offsets", "replayed"),
    [((5,), 1), ((4, 5), 2), ((5, 6), 1), ((4, 5, 6), 2), ((6,), 0)],
    ids=["the last", "and one before", "and one after", "on both sides", "the next"],
)
def test_a_record_at_or_below_the_applied_offset_is_a_replay_whatever_ids_are_known(
    offsets: tuple[int, ...], replayed: int
) -> None:
    state = new_state()
    state.applied = 5
    result = deduplicate(to_frame(rows(*offsets)), lambda _partition, _key: state, RULES)
    assert (result.replayed, result.duplicates) == (replayed, 0)
    assert result.frame["source_offset"].to_list() == [offset for offset in offsets if offset > 5]
