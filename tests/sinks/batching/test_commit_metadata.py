"""What a commit says is what the next owner reads."""

from hypothesis import given
from hypothesis import strategies as st

from sinks.batching.commit_metadata import CommitMetadata, decode

numbers = st.integers(0, (1 << 63) - 1)


@given(st.builds(CommitMetadata, st.none() | numbers, st.just(-1) | numbers, numbers))
def test_a_plan_is_read_as_it_was_written(plan: CommitMetadata) -> None:
    assert decode(plan.encode()) == plan


@given(st.builds(CommitMetadata, st.none() | numbers, st.just(-1) | numbers, numbers))
def test_a_plan_fits_into_kafkas_metadata_by_far(plan: CommitMetadata) -> None:
    assert len(plan.encode()) < 200


@given(st.none() | st.text())
def test_metadata_of_others_is_no_plan(metadata: str | None) -> None:
    assert decode(metadata) is None


def test_a_plan_with_anything_behind_it_is_no_plan() -> None:
    assert decode(CommitMetadata(5, 3).encode() + "0x") is None
