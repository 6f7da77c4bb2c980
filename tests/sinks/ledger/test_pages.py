"""The ledger as it is kept up to date: which page is looked at when, and that the pages add up. Without servers."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sinks.ledger.account import Account
from sinks.ledger.audit import Reach
from sinks.ledger.pages import Page, Pages, Span
from sinks.ledger.shares import OTHER, UNKNOWN, Shares

PAGE = 10


def offsets(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def look(pages: Pages, span: Span, lost: tuple[int, ...] = (), doubled: tuple[int, ...] = ()) -> Page:
    """Find all of a span stored but these."""
    size = span.end - span.start
    account = Account(accepted=size, stored=size - len(lost), lost=list(lost), doubled=list(doubled))
    return pages.write(span, account, {("p", "stored"): account.stored, ("p", "lost"): len(lost)}, offsets(*lost))


def opened(**reaches: tuple[int, int, int]) -> Pages:
    pages = Pages(labels_max=2, page_events=PAGE)
    pages.reach({int(name[1:]): Reach(*reach) for name, reach in reaches.items()})
    return pages


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_what_is_due_is_all_that_is_settled_each_offset_once(low: int, settled: int, in_flight: int) -> None:
    pages = opened(p3=(low, low + settled, low + settled + in_flight))
    due = pages.due()
    assert sorted(offset for _, start, end in due for offset in range(start, end)) == list(range(low, low + settled))
    assert all(span.start // PAGE == (span.end - 1) // PAGE for span in due)


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15), st.integers(0, 5), st.integers(0, 9)), max_size=8))
def test_whatever_is_looked_at_the_sum_is_what_was_looked_at_and_what_is_in_flight(
    rounds: list[tuple[int, int, int, int]],
) -> None:
    pages = Pages(labels_max=2, page_events=PAGE)
    low, settled, end = 0, 0, 0
    for trimmed, finished, came, looked in rounds:
        end, settled, low = end + finished + came, settled + finished, min(low + trimmed, settled + finished)
        pages.reach({0: Reach(low, settled, end)})
        for span in pages.due()[:looked]:
            look(pages, span)
    for span in pages.due():
        look(pages, span)
    total = pages.total()
    assert total["accepted"] == end - low
    assert total["stored"] == settled - low
    assert total["in_flight"] == end - settled
    assert pages.unchecked == 0


def test_what_was_not_looked_at_is_said_to_be_unchecked_and_not_accepted() -> None:
    pages = opened(p0=(0, 25, 27))
    look(pages, pages.due()[0])
    assert pages.unchecked == 20
    assert pages.total()["accepted"] == 5 + 2


def test_new_comes_before_unsound_before_unseen_before_seen() -> None:
    pages = opened(p0=(0, 50, 50))
    for span in (Span(0, 0, 10), Span(0, 10, 20), Span(0, 30, 40), Span(0, 40, 50)):
        look(pages, span, lost=(33,) if span.start == 30 else ())
    pages.reach({0: Reach(0, 53, 53)})
    assert [span.start for span in pages.due()] == [50, 30, 20, 0, 10, 40]


def test_every_page_has_its_turn_again() -> None:
    pages = opened(p0=(0, 40, 40))
    seen: Counter[int] = Counter()
    for _ in range(12):
        span = pages.due()[0]
        look(pages, span)
        seen[span.start] += 1
    assert seen == {0: 3, 10: 3, 20: 3, 30: 3}


def test_a_page_that_is_mended_is_sound_again() -> None:
    pages = opened(p0=(0, 10, 10))
    (span,) = pages.due()
    assert not look(pages, span, lost=(4,), doubled=(5,)).sound
    assert (pages.total()["lost"], pages.total()["doubled"]) == (1, 1)
    assert look(pages, span).sound
    assert (pages.total()["lost"], pages.total()["doubled"]) == (0, 0)


def test_what_was_settled_stays_settled_while_dead_letters_are_waited_for() -> None:
    pages = opened(p0=(0, 10, 10))
    look(pages, Span(0, 0, 10))
    pages.reach({0: Reach(0, 0, 15)})
    assert pages.total() == {"accepted": 15, "stored": 10, "in_flight": 5, "duplicate": 0, "dead": 0, "lost": 0} | {
        "doubled": 0
    }


def test_pages_that_the_topic_no_longer_has_are_gone() -> None:
    pages = opened(p0=(0, 30, 30), p1=(0, 10, 10))
    for span in pages.due():
        look(pages, span)
    pages.reach({0: Reach(20, 30, 30), 1: Reach(0, 10, 10)})
    assert pages.total()["accepted"] == 20


def test_a_recreated_topic_is_looked_at_anew() -> None:
    pages = opened(p0=(0, 30, 30))
    for span in pages.due():
        look(pages, span)
    pages.reach({0: Reach(0, 0, 5)})
    assert +pages.total() == {"accepted": 5, "in_flight": 5}
    assert pages.unchecked == 0


def test_known_duplicates_are_not_read_again_unless_something_changed() -> None:
    pages = opened(p0=(0, 8, 8))
    (span,) = pages.due()
    account = Account(accepted=8, stored=6, duplicate=2)
    page = pages.write(span, account, {("p", "stored"): 6, ("p", "duplicate"): 2}, offsets(3, 7))
    assert page.known(0, offsets(3, 7, 9)).tolist() == [3, 7]  # 9 came since
    assert page.known(0, offsets(3, 6, 7)).tolist() == []  # 6 had a row
    assert page.known(1, offsets(3, 7)).tolist() == []
    grown = Account(accepted=10, stored=7, duplicate=3)
    pages.reach({0: Reach(0, 10, 10)})
    pages.write(Span(0, 0, 10), grown, {("p", "stored"): 7, ("p", "duplicate"): 1}, offsets(3, 7, 9))
    assert pages.projects() == {("p", "stored"): 7, ("p", "duplicate"): 3}


def test_losses_are_never_taken_for_known_duplicates() -> None:
    pages = opened(p0=(0, 10, 10))
    page = look(pages, pages.due()[0], lost=(4,))
    assert page.known(0, offsets(4)).tolist() == []


def test_projects_beyond_the_limit_are_counted_together() -> None:
    pages = opened(p0=(0, 10, 10))
    found = {(project, "stored"): 2 for project in ("a", "b", "c", "d", "")}
    pages.write(Span(0, 0, 10), Account(accepted=10, stored=10), found, offsets())
    assert pages.projects() == {("a", "stored"): 2, ("b", "stored"): 2, (OTHER, "stored"): 4, (UNKNOWN, "stored"): 2}


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=12),
    st.integers(1, 6),
)
def test_however_long_the_topic_grows_the_pages_are_bounded_and_add_up(
    rounds: list[tuple[int, int, int]], pages_max: int
) -> None:
    pages = Pages(labels_max=2, page_events=PAGE, pages_max=pages_max)
    end = 0
    for finished, looked, project in rounds:
        end += finished
        pages.reach({0: Reach(0, end, end)})
        assert len(pages.due()) <= pages_max
        assert len(pages.pages) <= pages_max
        for span in pages.due()[:looked]:
            size = span.end - span.start
            pages.write(span, Account(accepted=size, stored=size), {(f"p{project}", "stored"): size}, offsets())
        seen = sum(page.end - page.start for page in pages.pages.values())
        assert pages.total()["accepted"] == seen == end - pages.unchecked
        assert sum(pages.projects().values()) == seen
    for span in pages.due():
        look(pages, span)
    assert (pages.total()["stored"], pages.unchecked) == (end, 0)


def test_an_unsound_page_stays_unsound_when_pages_become_longer() -> None:
    pages = Pages(labels_max=2, page_events=PAGE, pages_max=2)
    pages.reach({0: Reach(0, 20, 20)})
    for span in pages.due():
        look(pages, span, lost=(13,) if span.start == 10 else ())
    pages.reach({0: Reach(0, 40, 40)})
    assert pages.page_events == 2 * PAGE
    assert pages.total()["lost"] == 1
    assert not pages.pages[0, 0].sound


@given(st.dictionaries(st.tuples(st.text(), st.sampled_from(["stored", "dead", "lost"])), st.integers(1, 2**32 - 1)))
def test_packed_counts_are_the_counts(counts: dict[tuple[str, str], int]) -> None:
    shares = Shares(labels_max=3)
    packed = shares.pack(counts)
    assert shares.unpack(packed) == counts
    assert len(packed) == 8 * len(counts)


def test_a_page_of_fifty_projects_takes_a_kilobyte_and_the_sums_do_not_read_pages() -> None:
    pages = Pages(labels_max=50, page_events=PAGE)
    projects = {(f"project {number}", outcome): 3 for number in range(50) for outcome in ("stored", "duplicate")}
    pages.reach({0: Reach(0, 10_000, 10_000)})
    for span in pages.due():
        pages.write(span, Account(accepted=PAGE, stored=PAGE), projects, offsets())
    assert {len(page.shares) for page in pages.pages.values()} == {800}
    pages.pages = {}  # a sum over them would be 0 now
    assert pages.total()["stored"] == 10_000
    assert pages.projects()["project 7", "stored"] == 3_000
