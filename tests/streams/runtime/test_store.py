"""The store of a table: restoring, rebalancing, and the states that an epoch keeps decoded over it."""

from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from faust.types import TP
from hypothesis import given

from streams.runtime.envelope import last_active_ms
from streams.runtime.eviction import Evictor, sizes
from streams.runtime.exits import Exit
from streams.runtime.newest import tombstone_headers
from streams.runtime.operator import Changes
from streams.runtime.state_cache import StateCache
from streams.runtime.store import ForeignRecordsError, ShardStore
from streams.runtime.tables import StateTable
from streams.sessions.state import SessionStateCodec, encode_state, new_state
from tests.streams.runtime.epoch_fakes import Counts
from tests.streams.runtime.faust_app import faust_app
from tests.streams.runtime.tables import FakeTable
from tests.streams.world import Chunk, Record


def value_of(applied: int, active_ms: int = 0) -> bytes:
    """A state's bytes of this prefix."""
    state = new_state()
    state.applied, state.active_ms = applied, active_ms
    return encode_state(state)


def restore(table: StateTable, partition: int, *pairs: tuple[bytes, bytes | None], start: int = 0) -> None:
    """Changelog records, as recovery hands them over."""
    records = [Record(start + index, key, value) for index, (key, value) in enumerate(pairs)]
    chunk = Chunk(table.changelog_topic_name, partition, records)
    table.store.apply_changelog_batch([chunk], bytes, bytes)


@pytest.fixture(params=["fake", "faust"])
async def table(request: pytest.FixtureRequest) -> StateTable:
    """The stand-in that other tests use, and Faust's own."""
    return FakeTable("sessions") if request.param == "fake" else faust_app().state_tables["sessions"]


async def rebalance(table: StateTable, kept: Sequence[int]) -> None:
    assigned = {TP(table.changelog_topic_name, partition) for partition in kept} | {TP("raw", 9)}
    await table.store.on_rebalance(assigned, set(), set())


def test_a_restore_keeps_the_larger_offset_whatever_the_order(table: StateTable) -> None:
    restore(table, 0, (b"a", value_of(7)), (b"a", value_of(3)), (b"b", value_of(1)), (b"b", value_of(2)))
    assert table.store.shards == {0: {b"a": value_of(7), b"b": value_of(2)}}
    assert table.store.restored == 4


def test_of_equal_offsets_the_later_record_counts(table: StateTable) -> None:
    # Forgetting what was emitted changes a state without a new event.
    restore(table, 0, (b"a", value_of(7, 1)), (b"a", value_of(7, 2)))
    assert table.store.shards[0][b"a"] == value_of(7, 2)


def test_a_tombstone_removes_and_a_later_value_brings_back(table: StateTable) -> None:
    restore(table, 0, (b"a", value_of(7)), (b"a", None), (b"b", None), (b"b", value_of(1)))
    assert table.store.shards == {0: {b"b": value_of(1)}}


def tombstone(applied: int) -> tuple[tuple[str, bytes], ...]:
    return tuple(tombstone_headers(applied))


def test_a_tombstone_ends_no_state_with_later_records(table: StateTable) -> None:
    records = [Record(0, b"a", value_of(7)), Record(1, b"a", None, tombstone(3))]
    records += [Record(2, b"b", value_of(7)), Record(3, b"b", None, tombstone(7))]
    table.store.apply_changelog_batch([Chunk(table.changelog_topic_name, 0, records)], bytes, bytes)
    assert table.store.shards[0] == {b"a": value_of(7)}
    assert list(table.store.owed()) == [(0, b"a", value_of(7), 7)]


def test_a_state_that_left_is_not_brought_back_by_an_older_one(table: StateTable) -> None:
    records = [Record(0, b"a", value_of(7)), Record(1, b"a", None, tombstone(7)), Record(2, b"a", value_of(6))]
    records += [Record(3, b"b", None, tombstone(7)), Record(4, b"b", value_of(7)), Record(5, b"c", None, tombstone(7))]
    records += [Record(6, b"c", value_of(8))]
    table.store.apply_changelog_batch([Chunk(table.changelog_topic_name, 0, records)], bytes, bytes)
    assert table.store.shards[0] == {b"c": value_of(8)}
    assert sorted(table.store.owed()) == [(0, b"a", None, 7), (0, b"b", None, 7)]


def test_what_an_older_record_would_outlive_is_written_again_once(table: StateTable) -> None:
    records = [Record(0, b"a", value_of(7)), Record(1, b"a", value_of(3))]
    records += [Record(2, b"b", None, tombstone(5)), Record(3, b"b", value_of(2))]
    table.store.apply_changelog_batch([Chunk(table.changelog_topic_name, 0, records)], bytes, bytes)
    cache = StateCache(table, SessionStateCodec())
    changes = cache.end_epoch()
    assert (dict(changes.by_partition[0]), changes.gone) == ({b"a": value_of(7), b"b": None}, {0: {b"b": 5}})
    cache.rollback()
    assert len(cache.end_epoch().by_partition[0]) == 2
    cache.confirm({TP(table.changelog_topic_name, 0): 5})
    assert cache.end_epoch().by_partition == {}


def test_records_of_somebody_else_in_the_changelog_are_noticed(table: StateTable) -> None:
    tp = TP(table.changelog_topic_name, 0)
    restore(table, 0, (b"a", value_of(7)), start=4)
    cache = StateCache(table, SessionStateCodec())
    cache.state_of(0, b"a")
    cache.end_epoch()
    cache.confirm({tp: 5})
    cache.state_of(0, b"a")
    cache.end_epoch()
    with pytest.raises(ForeignRecordsError):
        cache.confirm({tp: 7})
    table.store.check_end(tp, 5)
    with pytest.raises(ForeignRecordsError):
        table.store.check_end(tp, 6)


def test_the_highest_offset_applied_is_told_where_the_changelog_has_none_as_high(table: StateTable) -> None:
    restore(table, 0, (b"old", value_of(7)))
    cache = StateCache(table, SessionStateCodec())

    def applied_after(**offsets: int) -> dict[int, int]:
        for key, offset in offsets.items():
            cache.state_of(0, key.encode()).applied = offset
        changes = cache.end_epoch()
        cache.confirm({})
        return dict(changes.applied)

    assert applied_after(old=7, a=3) == {}
    assert applied_after(a=9, b=12) == {0: 12}
    # Read again, after a commit that was refused.
    assert applied_after(b=12) == {}
    assert applied_after(b=13) == {0: 13}


def test_recovery_reads_on_where_the_store_has_got_to(table: StateTable) -> None:
    tp = TP(table.changelog_topic_name, 0)
    assert table.store.persisted_offset(tp) is None
    restore(table, 0, (b"a", value_of(7)), (b"b", value_of(7)), start=10)
    assert table.store.persisted_offset(tp) == 11
    table.store.set_persisted_offset(tp, 5)
    assert table.store.persisted_offset(tp) == 11


class Exited(BaseException):
    """The process ended itself."""


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr("streams.runtime.store.os._exit", end)


def assert_goes_missing(table: StateTable, start: int) -> None:
    with pytest.raises(Exited) as ended:
        restore(table, 0, (b"late", value_of(1)), start=start)
    assert ended.value.args == (Exit.CHUNK_MISSING,)
    assert b"late" not in table.store.shard(0)


@pytest.mark.usefixtures("exits")
@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [(b"b", b"", ()), (b"b", b"\1\0\0", ()), (b"b", None, (("applied", b"soon"),)), (None, value_of(1), ())],
    ids=["no value", "cut off", "no number", "no key"],
)
def test_a_record_of_a_changelog_that_cannot_be_read_ends_the_process_and_is_named(
    table: StateTable,
    key: bytes | None,
    value: bytes | None,
    headers: tuple[tuple[str, bytes], ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = [Record(7, b"a", value_of(1)), Record(8, key, value, headers)]
    with pytest.raises(Exited) as ended:
        table.store.apply_changelog_batch([Chunk(table.changelog_topic_name, 2, records)], bytes, bytes)
    assert ended.value.args == (Exit.STATE_UNREADABLE,)
    told = capsys.readouterr().out
    assert all(text in told for text in (table.changelog_topic_name, "2", "8", "cannot be read")), told


@pytest.mark.usefixtures("exits")
async def test_a_chunk_before_which_another_is_missing_ends_the_process(table: StateTable) -> None:
    await rebalance(table, [0])
    table.store.expect(TP(table.changelog_topic_name, 0), 4)
    assert_goes_missing(table, 5)
    restore(table, 0, (b"a", value_of(1)), (b"b", value_of(1)), start=4)
    restore(table, 0, (b"b", value_of(1)), (b"c", value_of(2)), start=5)  # read again
    restore(table, 0, (b"d", value_of(2)), start=7)
    assert_goes_missing(table, 9)


@pytest.mark.usefixtures("exits")
async def test_a_restore_that_reads_on_may_skip_what_the_store_has_and_nothing_else(table: StateTable) -> None:
    await rebalance(table, [0])
    table.store.expect(TP(table.changelog_topic_name, 0), 0)
    restore(table, 0, (b"a", value_of(1)), (b"b", value_of(1)))
    await rebalance(table, [0, 1])
    table.store.expect(TP(table.changelog_topic_name, 0), 1)
    assert_goes_missing(table, 3)
    restore(table, 0, (b"c", value_of(1)), start=2)
    # Faust's own notion of where it is may be that of a restore of before.
    table.store.expect(TP(table.changelog_topic_name, 0), 30)
    assert_goes_missing(table, 30)


@pytest.mark.usefixtures("exits")
async def test_a_chunk_of_a_partition_that_was_ours_is_not_applied(table: StateTable) -> None:
    await rebalance(table, [0, 1])
    table.store.expect(TP(table.changelog_topic_name, 0), 0)
    await rebalance(table, [1])
    restore(table, 0, (b"a", value_of(1)))
    elsewhere = Chunk("another-changelog", 1, [Record(0, b"a", value_of(1))])
    table.store.apply_changelog_batch([elsewhere], bytes, bytes)
    assert table.store.shards == {}
    await rebalance(table, [0, 1])
    assert table.store.known() == []
    assert_goes_missing(table, 0)  # before recovery has said where it begins


async def test_recovery_begins_anew_with_a_partition_of_which_the_store_has_nothing() -> None:
    table = faust_app().state_tables["sessions"]
    assert table.persisted_offset(TP(table.changelog_topic_name, 0)) == -1
    restore(table, 0, (b"a", value_of(1)))
    assert table.persisted_offset(TP(table.changelog_topic_name, 0)) == 0


async def test_a_rebalance_drops_what_is_no_longer_ours_and_forgets_how_far_it_was(table: StateTable) -> None:
    for partition in range(3):
        restore(table, partition, (b"a%d" % partition, value_of(1)))
    await rebalance(table, [1])
    assert set(table.store.shards) == {1}
    reached = [table.store.persisted_offset(TP(table.changelog_topic_name, partition)) for partition in range(3)]
    assert reached == [None, 0, None]


def test_the_mapping_that_faust_sees(table: StateTable) -> None:
    restore(table, 0, (b"a", value_of(1)))
    restore(table, 1, (b"b", value_of(2)))
    store = table.store
    assert (sorted(store), len(store), b"b" in store, b"c" in store) == ([b"a", b"b"], 2, True, False)
    assert sorted(store.items()) == [(b"a", value_of(1)), (b"b", value_of(2))]
    with pytest.raises(TypeError):
        store[b"a"] = b""
    with pytest.raises(TypeError):
        del store[b"a"]
    store.clear()
    assert (len(store), store.persisted_offset(TP(table.changelog_topic_name, 0))) == (0, None)


# --- the states of an epoch


def cache_over(table: StateTable, decoded_max: int = 50_000) -> StateCache[list[int]]:
    return StateCache(table, Counts(), decoded_max=decoded_max)


def confirm(cache: StateCache[list[int]]) -> None:
    cache.end_epoch()
    cache.confirm({})


def write(store: ShardStore, partition: int, key: bytes, state: list[int]) -> None:
    store.write(partition, [(key, Counts().encode(state))])


def test_changes_become_the_stores_when_confirmed_and_not_before(table: StateTable) -> None:
    cache = cache_over(table)
    cache.state_of(2, b"a").append(5)
    assert cache.end_epoch() == Changes(table.changelog_topic_name, {2: [(b"a", Counts().encode([-1, 5]))]})
    assert table.store.shard(2) == {}
    cache.confirm({TP("log", 2): 8})
    assert table.store.shards[2] == {b"a": Counts().encode([-1, 5])}
    assert table.store.persisted_offset(TP("log", 2)) == 8
    assert (len(cache), list(cache.touched()), cache.end_epoch().by_partition) == (0, [], {})


def test_one_key_in_two_partitions_is_two_states(table: StateTable) -> None:
    cache = cache_over(table)
    for partition in (0, 1, 0):
        cache.state_of(partition, b"a").append(partition)
    assert cache.end_epoch().by_partition == {
        0: [(b"a", Counts().encode([-1, 0, 0]))],
        1: [(b"a", Counts().encode([-1, 1]))],
    }
    cache.confirm({})
    assert [cache.state_of(partition, b"a") for partition in (0, 1)] == [[-1, 0, 0], [-1, 1]]


def test_a_state_in_use_in_one_partition_may_leave_another(table: StateTable) -> None:
    for partition in (0, 1):
        table.store.write(partition, [(b"old", value_of(1, 1)), (b"new", value_of(1, 10_000))])
    cache = StateCache(table, SessionStateCodec(), Evictor(window_ms=100))
    for _ in range(3):
        cache.state_of(0, b"old")
        cache.end_epoch()
        cache.confirm({})
    assert [sorted(table.store.shards[partition]) for partition in (0, 1)] == [[b"new", b"old"], [b"new"]]


def test_nothing_is_confirmed_that_no_epoch_end_gave(table: StateTable) -> None:
    cache = cache_over(table)
    cache.state_of(0, b"a").append(5)
    with pytest.raises(RuntimeError, match="no epoch has ended"):
        cache.confirm({})
    cache.end_epoch()
    cache.rollback()
    with pytest.raises(RuntimeError, match="no epoch has ended"):
        cache.confirm({})
    assert table.store.shard(0) == {}


def test_a_confirmed_state_stays_decoded_and_goes_on(table: StateTable) -> None:
    cache = cache_over(table)
    cache.state_of(0, b"a").append(1)
    confirm(cache)
    cache.state_of(0, b"a").append(2)
    confirm(cache)
    assert table.store.shards[0] == {b"a": Counts().encode([-1, 1, 2])}


def test_a_restore_invalidates_what_is_decoded(table: StateTable) -> None:
    cache = cache_over(table)
    cache.state_of(0, b"a").append(1)
    confirm(cache)
    restore(table, 0, (b"x", value_of(1)))
    write(table.store, 0, b"a", [4, 9])
    assert cache.state_of(0, b"a") == [4, 9]


async def test_a_rebalance_invalidates_what_is_decoded(table: StateTable) -> None:
    cache = cache_over(table)
    cache.state_of(0, b"a").append(1)
    confirm(cache)
    await rebalance(table, [1])
    assert cache.state_of(0, b"a") == [-1]


def test_an_epoch_rolled_back_leaves_the_stores_states(table: StateTable) -> None:
    cache = cache_over(table)
    cache.state_of(0, b"a").append(1)
    confirm(cache)
    cache.state_of(0, b"a").append(2)
    cache.rollback()
    assert cache.state_of(0, b"a") == [-1, 1]


def test_an_epoch_takes_out_keys_whose_time_has_passed_and_none_in_use(table: StateTable) -> None:
    table.store.write(0, [(b"old", value_of(1, active_ms=1)), (b"new", value_of(1, active_ms=10_000))])
    cache = StateCache(table, SessionStateCodec(), Evictor(window_ms=100))
    for _ in range(3):
        cache.state_of(0, b"old")
        assert [key for key, value in cache.end_epoch().by_partition[0] if value is None] == []
        cache.confirm({})
    changes = cache.end_epoch()
    assert (changes.by_partition, changes.gone) == ({0: [(b"old", None)]}, {0: {b"old": 1}})
    cache.confirm({})
    assert list(table.store) == [b"new"]
    assert cache.state_of(0, b"old") == new_state()


def test_no_more_states_stay_decoded_than_allowed(table: StateTable) -> None:
    cache = cache_over(table, decoded_max=3)
    for number in range(10):
        cache.state_of(0, b"%d" % number).append(number)
        confirm(cache)
    assert sum(map(len, cache._clean.values())) == 3
    assert [cache.state_of(0, b"%d" % number) for number in range(10)] == [[-1, number] for number in range(10)]


# --- eviction


def evict(evictor: Evictor, table: StateTable, touched: set[bytes] | None = None) -> set[bytes]:
    found = evictor.expired(table.store, {0: touched or set()})
    for partition, keys in found.items():
        table.store.write(partition, [(key, None) for key in keys])
    return {key for keys in found.values() for key in keys}


def test_a_state_leaves_when_the_newest_of_its_partition_is_younger_by_more_than_the_window(table: StateTable) -> None:
    pairs = [(b"newest", value_of(1, 1_000)), (b"at the edge", value_of(1, 900)), (b"past it", value_of(1, 899))]
    table.store.write(0, pairs)
    table.store.write(1, [(b"alone", value_of(1, 5))])
    evictor = Evictor(window_ms=100)
    assert evict(evictor, table) | evict(evictor, table) == {b"past it"}
    assert sorted(table.store) == [b"alone", b"at the edge", b"newest"]
    assert evictor.evicted == 1


def test_a_time_that_no_event_can_have_makes_nobody_old(table: StateTable) -> None:
    pairs = [(b"of a wrong clock", value_of(1, 9_000)), (b"today", value_of(1, 1_000)), (b"old", value_of(1, 899))]
    table.store.write(0, pairs)
    evictor = Evictor(window_ms=100, latest_ms=lambda: 1_000)
    assert evict(evictor, table) | evict(evictor, table) == {b"old"}


def test_a_state_whose_records_are_not_committed_stays_and_makes_nobody_old(table: StateTable) -> None:
    table.store.write(0, [(b"newest", value_of(7, 9_000)), (b"older", value_of(5, 100)), (b"old", value_of(4, 1))])
    committed = 5
    evictor = Evictor(window_ms=100, committed=lambda _: committed)
    assert evict(evictor, table) | evict(evictor, table) == set()
    committed = 7  # of "older" all is, and of "newest" the last record is not
    assert evict(evictor, table) | evict(evictor, table) == set()
    committed = 8
    assert evict(evictor, table) | evict(evictor, table) == {b"older", b"old"}


def test_a_state_in_use_stays(table: StateTable) -> None:
    table.store.write(0, [(b"old", value_of(1, 1)), (b"new", value_of(1, 10_000))])
    evictor = Evictor(window_ms=100)
    for _ in range(3):
        assert evict(evictor, table, {b"old"}) == set()
    assert evict(evictor, table) | evict(evictor, table) == {b"old"}


def test_a_call_looks_at_a_bounded_number_and_comes_round_to_all(table: StateTable) -> None:
    table.store.write(0, [(b"new", value_of(1, 10_000)), *((b"%d" % number, value_of(1, 1)) for number in range(100))])
    evictor = Evictor(window_ms=100, looked_at_max=10)
    rounds = [evict(evictor, table) for _ in range(30)]
    assert max(map(len, rounds)) <= 10
    assert list(table.store) == [b"new"]


def test_more_are_looked_at_where_more_are_in_use(table: StateTable) -> None:
    table.store.write(
        0, [*((b"%d" % number, value_of(1, 1)) for number in range(5_000)), (b"new", value_of(1, 10_000))]
    )
    evictor = Evictor(window_ms=100)
    evict(evictor, table)  # meets the newest
    idle = len(evict(evictor, table))
    busy = len(evict(evictor, table, {b"in use %d" % number for number in range(200)}))
    assert 2 * 200 <= busy - idle < 1_000


async def test_a_partition_that_comes_back_is_judged_anew(table: StateTable) -> None:
    table.store.write(0, [(b"new", value_of(1, 10_000))])
    evictor = Evictor(window_ms=100)
    evict(evictor, table)
    await rebalance(table, [])
    evict(evictor, table)
    table.store.write(0, [(b"old", value_of(1, 5))])
    assert evict(evictor, table) | evict(evictor, table) == set()


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 300)), max_size=30), st.integers(1, 5))
def test_nothing_within_the_window_is_ever_evicted(written: list[tuple[int, int]], looked_at_max: int) -> None:
    table, evictor = FakeTable("sessions"), Evictor(window_ms=100, looked_at_max=looked_at_max)
    newest = 0
    for key, active_ms in written:
        table.store.write(0, [(b"%d" % key, value_of(1, active_ms))])
        newest = max(newest, active_ms)
        before = dict(table.store.shards[0])
        for gone in evict(evictor, table):
            assert last_active_ms(before[gone]) < newest - 100


def test_sizes_are_counted_and_estimated(table: StateTable) -> None:
    assert sizes(table.store) == (0, 0)
    table.store.write(0, [(b"%04d" % number, bytes(96)) for number in range(3_000)])
    table.store.write(1, [(b"a", b"bc")])
    assert sizes(table.store) == (3_001, 300_003)
