"""Of one key the newest version is sent, whatever the order."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from sinks.batching.batch import Rows
from sinks.batching.decode import time_reader, version_reader
from sinks.batching.latest_version import newest
from tests.sinks.records import codec, event, framed, session

keys = st.one_of(st.none(), st.sampled_from([b"a", b"b", b"c"]))
versions = st.one_of(st.none(), st.integers(0, 5))


def rows(items: Sequence[tuple[bytes | None, int | None]]) -> Rows:
    """Rows whose value is their version as text; empty when it cannot be read."""
    values = [b"" if version is None else b"%d" % version for _, version in items]
    return Rows(1, list(range(len(items))), values, [key for key, _ in items])


def read(values: Sequence[bytes]) -> list[int | None]:
    return [int(value) if value else None for value in values]


@given(st.lists(st.tuples(keys, versions), max_size=20))
def test_each_key_keeps_its_largest_version_and_of_equal_ones_the_later(
    items: list[tuple[bytes | None, int | None]],
) -> None:
    kept = newest(rows(items), read)
    expected = []
    for index, (key, version) in enumerate(items):
        rivals = [(found, at) for at, (other, found) in enumerate(items) if other == key and found is not None]
        if key is None or version is None or max(rivals) == (version, index):
            expected.append(index)
    assert list(kept.offsets) == expected


def test_rows_of_distinct_keys_are_not_decoded() -> None:
    def never(_values: Sequence[bytes]) -> list[int | None]:
        raise AssertionError("decoded")

    distinct = rows([(b"a", 1), (b"b", 1)])
    assert newest(distinct, never) is distinct


def test_versions_are_read_from_records_also_beside_broken_ones() -> None:
    good = [codec("sessions").encode(session(1, version)) for version in (7, 1 << 50)]
    read_versions = version_reader(codec("sessions"), "version")
    assert read_versions(good) == [7, 1 << 50]
    assert read_versions([good[0], b"broken", good[1]]) == [7, None, 1 << 50]


def test_a_time_serves_as_a_version() -> None:
    read_versions = version_reader(codec("enriched_events"), "timestamp")
    early, late = framed(0), framed(5)
    assert [version - read_versions([early])[0] for version in read_versions([early, late])] == [0, 5]  # type: ignore[operator]


def test_the_time_of_a_record_is_read_in_seconds() -> None:
    since = time_reader(codec("enriched_events"), "received_at")
    assert since(framed(3)) == event(3)["received_at"].timestamp()
    assert since(b"broken") is None
    assert time_reader(codec("sessions"), None)(framed(3)) is None
