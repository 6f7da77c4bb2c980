"""Hot keys are found among any number of others, in memory that does not grow."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.events.hot_keys import HotKeys
from tests.effort import examples

CHUNKS = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=60), min_size=1, max_size=8)


def note(hot: HotKeys, chunk: list[bytes]) -> None:
    counted = Counter(chunk)
    hot.note(list(counted), np.array(list(counted.values()), dtype=np.uint32))


@settings(max_examples=examples(200))
@given(CHUNKS, st.integers(1, 12))
def test_whoever_has_a_large_share_is_found_and_hardly_underestimated(chunks: list[list[int]], keys_max: int) -> None:
    hot, truth = HotKeys(keys_max), Counter[bytes]()
    for chunk in chunks:
        named = [b"%d" % number for number in chunk]
        note(hot, named)
        truth.update(named)
    found = {one.key: one.share for one in hot.top(1_000)}
    assert len(found) <= keys_max
    for key, count in truth.items():
        share = count / truth.total()
        assert share - 1 / (keys_max + 1) - 1e-9 <= found.get(key, 0.0) <= share + 1e-9


def test_what_is_long_ago_counts_less() -> None:
    hot = HotKeys(keys_max=10, records_max=1_000)
    note(hot, [b"yesterday"] * 900)
    for _ in range(10):
        note(hot, [b"today"] * 500)
    shares = {one.key: one.share for one in hot.top(2)}
    assert shares[b"today"] > 0.95
    assert shares.get(b"yesterday", 0.0) < 0.01


def test_traffic_without_hot_keys_has_none() -> None:
    hot = HotKeys()
    for chunk in range(20):
        note(hot, [b"%d-%d" % (chunk, number) for number in range(1_000)])
    assert [one.share for one in hot.top(5)] == pytest.approx([0.0] * len(hot.top(5)), abs=0.01)


def test_the_hottest_comes_first() -> None:
    hot = HotKeys()
    note(hot, [b"a", b"b", b"b", b"c", b"c", b"c"])
    assert [one.key for one in hot.top(2)] == [b"c", b"b"]
    assert hot.top(1)[0].share == pytest.approx(0.5)
