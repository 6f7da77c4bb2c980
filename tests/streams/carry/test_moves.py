"""Where states go when partitions are added, and what may not be carried."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.keys import of_customer, of_names, of_signal, source_of_state
from streams.carry.moves import Found, Moves, RefusedError, by_target, newest, partition_of, stale, unsettled
from streams.runtime.envelope import applied_offset, last_active_ms, with_applied
from streams.runtime.newest import takes_back
from streams.sessions.state import SessionStateCodec, new_state
from tests.streams.released_states import SESSIONS

# As Kafka's own tests have them: org.apache.kafka.common.utils.UtilsTest.
JAVA: Final = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}


def value_of(applied: int) -> bytes:
    state = new_state()
    state.applied, state.active_ms = applied, 7
    return SessionStateCodec().encode(state)


@pytest.mark.parametrize("key", JAVA, ids=repr)
def test_keys_lie_where_producers_put_them(key: bytes) -> None:
    assert partition_of(key, 1_000) == (JAVA[key] & 0x7FFFFFFF) % 1_000


@given(st.binary(), st.integers(1, 20), st.integers(0, 20))
def test_a_state_whose_partition_stays_is_the_same_and_one_that_moves_counts_anew(
    key: bytes, before: int, added: int
) -> None:
    source = source_of_state(key)
    moves, value, partition = Moves(before, before + added), value_of(41), partition_of(source, before)
    target, moved = moves.moved(key, value, partition)
    assert target == (partition_of(source, before + added) if added else partition)
    assert applied_offset(moved) == (41 if target == partition else -1)
    assert SessionStateCodec.decode(moved).active_ms == last_active_ms(moved) == 7


@pytest.mark.parametrize("partition", range(3))
def test_with_as_many_partitions_a_key_stays_wherever_it_is(partition: int) -> None:
    # A producer with another partitioner; its states are kept by partition and key.
    assert by_target({b"k": value_of(1)}, partition, Moves(3, 3)) == {partition: [(b"k", value_of(1))]}
    assert not Moves(3, 3).is_stray(b"k", partition)


def test_a_key_that_is_not_where_its_hash_says_may_have_two_states_and_is_refused() -> None:
    wrong = (partition_of(b"k", 3) + 1) % 3
    with pytest.raises(RefusedError, match="b'k' has a state in partition"):
        by_target({b"k": value_of(1)}, wrong, Moves(3, 4))


@given(st.binary(), st.integers(0, 3))
def test_a_record_is_a_stray_where_its_key_is_not_from_now_on(key: bytes, partition: int) -> None:
    assert Moves(3, 4).is_stray(key, partition) == (partition_of(key, 4) != partition)


def log(*pairs: tuple[bytes, bytes | None]) -> list[Found]:
    return [Found(offset, key, value) for offset, (key, value) in enumerate(pairs)]


def test_states_are_those_that_a_restore_has() -> None:
    pairs = ((b"a", value_of(7)), (b"a", value_of(3)), (b"b", value_of(1)), (b"b", None), (b"c", value_of(2)))
    assert newest(log(*pairs)) == {b"a": value_of(7), b"c": value_of(2)}


def test_what_an_interrupted_run_wrote_and_this_one_did_not_is_stale() -> None:
    interrupted = ((b"stays", value_of(3)), (b"left", value_of(4)), (b"moved and left", value_of(-1)), (b"gone", None))
    again = ((b"stays", value_of(3)), (b"new", value_of(9)))
    found = stale(log(*interrupted, *again), since=len(interrupted))
    assert found == {b"left": 4, b"moved and left": -1}
    tombstones = [Found(9, key, None, takes_back(applied)) for key, applied in found.items()]
    log_so_far = [*log(*interrupted, *again), *tombstones]
    assert newest(log_so_far) == {b"stays": value_of(3), b"new": value_of(9)}
    # What came back at the former generation is carried as it was.
    comes_back = [Found(12, key, value_of(applied)) for key, applied in found.items()]
    assert newest([*log_so_far, *comes_back]).keys() == {b"stays", b"new", *found}


@pytest.mark.parametrize("value", [value for _, value, _ in SESSIONS])
def test_the_offset_of_a_state_of_any_release_is_replaced_alone(value: bytes) -> None:
    moved = with_applied(value, -1)
    assert (applied_offset(moved), last_active_ms(moved)) == (-1, last_active_ms(value))
    assert with_applied(moved, applied_offset(value)) == value


def test_states_without_a_commit_are_told() -> None:
    commits, states = {("raw_events", 0): 5}, {("raw_events", 0): 2, ("raw_events", 1): 1, ("raw_events", 2): 0}
    (problem,) = unsettled(commits, states)
    assert problem.startswith("raw_events/1 ")


def test_what_is_known_of_a_customer_goes_where_the_signals_of_the_number_go() -> None:
    number = of_signal("t", "p", "900000000000001")
    here = partition_of(number, 2)
    for key in (of_customer(number, "US.1"), of_names(number, "101")):
        assert set(by_target({key: value_of(1)}, here, Moves(2, 5))) == {partition_of(number, 5)}
