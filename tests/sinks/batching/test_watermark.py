"""The watermark drops repeats and nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sinks.batching import watermark

sources = st.tuples(st.integers(0, 3), st.integers(0, 20)).map(lambda source: watermark.pack(*source))


def kept_one_by_one(items: list[int], mark: int) -> list[int]:
    kept = []
    for item in items:
        if item > mark:
            kept.append(item)
            mark = item
    return kept


@given(st.lists(sources, min_size=1), st.one_of(st.just(watermark.NONE), sources))
def test_equals_the_rule_applied_one_by_one(items: list[int], mark: int) -> None:
    array = np.array(items, np.int64)
    assert array[watermark.fresh(array, mark)].tolist() == kept_one_by_one(items, mark)


@given(st.lists(sources, min_size=2), st.data())
def test_does_not_depend_on_where_fetches_are_cut(items: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(items) - 1))
    first, second = np.array(items[:cut], np.int64), np.array(items[cut:], np.int64)
    kept = first[watermark.fresh(first, watermark.NONE)]
    mark = int(kept[-1]) if len(kept) else watermark.NONE
    together = [*kept.tolist(), *second[watermark.fresh(second, mark)].tolist()]
    assert together == kept_one_by_one(items, watermark.NONE)


@given(st.integers(0, watermark.GENERATION_END - 2), st.integers(0, watermark.OFFSET_END - 1))
def test_the_first_event_of_the_next_generation_is_above_everything_before(generation: int, offset: int) -> None:
    mark = watermark.pack(generation, offset)
    fresh = watermark.fresh(np.array([watermark.pack(generation + 1, 0)], np.int64), mark)
    assert fresh.tolist() == [True]


@given(st.integers(0, watermark.GENERATION_END - 1), st.integers(0, watermark.OFFSET_END - 1))
def test_a_source_can_be_taken_apart_again(generation: int, offset: int) -> None:
    source = watermark.pack(generation, offset)
    assert (watermark.generation_of(source), watermark.offset_of(source)) == (generation, offset)
    assert source < 1 << 63
