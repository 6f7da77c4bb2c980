"""Changes by hand, and how they are told. The views' answers are held in tests/schemas/apply/test_person_law.py."""

from typing import Final

import pytest

from schemas import keys
from schemas.codec import Codec
from streams.identity_changes.links import Change, Claimed, Known, Pair, explained, linked, problem_of, unlinked
from tests.streams.raw import IDS

NOW: Final = 1_795_000_000_000
PAIR: Final = Pair("visitor", "ann")
NOTHING: Final = Known((), (), {})


def claimed(at: int) -> Known:
    return Known([Claimed(PAIR, at, "identify", False, at)], (), {PAIR: at})


@pytest.mark.parametrize("ahead", [-1, 0, 1, 3_600_000])
def test_what_is_taken_back_is_later_than_its_newest_claim(ahead: int) -> None:
    change = unlinked(PAIR, NOW, by="op", why="mixed up", known=claimed(NOW + ahead))
    assert change.changed_ms > NOW + ahead
    assert change.changed_ms >= NOW


def test_one_who_links_again_is_later_than_who_took_it_back() -> None:
    back = unlinked(PAIR, NOW, by="op", why="mixed up", known=claimed(NOW + 5))
    again = linked(PAIR, NOW, None, alias=False, by="op", why="right after all", known=Known((), [back], {}))
    assert again.changed_ms > back.changed_ms
    assert again.first_linked_ms == again.changed_ms


def test_a_claim_of_another_pair_moves_nothing() -> None:
    other = Known([Claimed(Pair("visitor", "bea"), NOW + 9, "identify", False, NOW)], (), {})
    assert unlinked(PAIR, NOW, by="op", why="-", known=other).changed_ms == NOW


@pytest.mark.parametrize("pair", [Pair("null", "ann"), Pair("v", "undefined"), Pair("v", " No-User "), Pair("", "ann")])
def test_an_id_that_names_nobody_is_not_linked(pair: Pair) -> None:
    assert "names nobody" in problem_of(pair, frozenset({"no-user"}))


def test_an_id_is_not_linked_to_itself() -> None:
    assert problem_of(Pair("ann", "ann"), frozenset())
    assert problem_of(PAIR, frozenset()) == ""


def test_each_change_has_a_record_and_a_key_of_its_own() -> None:
    codec = Codec("identity_changes", IDS)
    change = linked(PAIR, NOW, NOW - 7, alias=True, by="op", why="one person", known=NOTHING)
    told = codec.decode(codec.encode(change.record("t")))
    assert (told["link_source"], told["is_deleted"], told["changed_by"], told["reason"]) == (
        "alias",
        False,
        "op",
        "one person",
    )
    assert change.key("t") != change._replace(changed_ms=NOW + 1).key("t")
    assert keys.of_identity_change("t", "a/b", "c", 1) != keys.of_identity_change("t", "a", "b/c", 1)


def test_who_took_a_link_back_is_told_and_why() -> None:
    back = Change(PAIR, NOW, "", True, NOW, "op", "mixed up")
    told = "\n".join(explained(Known(claimed(NOW - 1000).claimed, [back], {})))
    for part in ("visitor → ann: not linked", "identify", "taken back by op", "mixed up"):
        assert part in told
    assert "counts from" in "\n".join(explained(claimed(NOW)))
