"""A shard is a dictionary to whoever uses it, whatever its keys look like."""

import hypothesis.strategies as st
from hypothesis import given

from streams.runtime.shard import Scopes, Shard

# Slashes in all places: of ids that are UUIDs, of others, of none.
KEYS = st.lists(st.sampled_from([b"/", b"t", b"tt", b"p", b"v", b"\0", b"\xff"]), max_size=7).map(b"".join)
VALUES = st.binary(max_size=2)


@given(st.lists(st.tuples(KEYS, st.none() | VALUES, st.booleans())))
def test_it_holds_what_a_dictionary_holds(steps: list[tuple[bytes, bytes | None, bool]]) -> None:
    scopes = Scopes()
    shard, other, plain = Shard(scopes), Shard(scopes), dict[bytes, bytes]()
    for key, value, is_new in steps:
        other[key[::-1]] = b"of another partition"
        if value is None:
            assert shard.pop(key, None) == plain.pop(key, None)
        elif is_new:
            assert shard.add_new([key], [value]) == [plain.setdefault(key, value)]
        else:
            shard[key] = plain[key] = value
        assert (shard.get(key), key in shard, len(shard)) == (plain.get(key), key in plain, len(plain))
    assert list(shard.items()) == list(plain.items())
    assert {shard.key_at(handle): shard.value_at(handle) for handle in shard.handles()} == plain


def test_of_a_batch_the_first_value_of_a_key_is_taken_and_the_others_are_told() -> None:
    shard = Shard(Scopes())
    shard[b"t/p/v/known"] = b"0"
    keys = [b"t/p/v/known", b"t/p/v/a", b"t/p/v/a"]
    assert shard.add_new(keys, [b"1", b"2", b"3"]) == [b"0", b"2", b"2"]
    assert shard == {b"t/p/v/known": b"0", b"t/p/v/a": b"2"}


def test_what_many_keys_begin_with_is_kept_once() -> None:
    shard = Shard(Scopes())
    scope = b"0f8fad5b-d9cb-469f-a165-70867728950e/7c9e6679-7425-40de-944b-e07fc1f90ae7/"
    for number in range(100):
        shard[scope + b"v/%d" % number] = b""
    assert max(map(len, shard.handles())) == len(b"0123v/99")
    assert len(shard) == 100


def test_a_handle_outlives_its_key() -> None:
    shard = Shard(Scopes())
    shard[b"t/p/v/a"] = b"1"
    (handle,) = shard.handles()
    del shard[b"t/p/v/a"]
    assert (shard.value_at(handle), shard.key_at(handle)) == (None, b"t/p/v/a")
