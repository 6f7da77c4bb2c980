"""A bounded cache in front of a pure function."""

import weakref
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from streams.events.lookups import CachedLookup


@dataclass
class Answer:
    """That something remembers it can be seen."""

    chars: int


letters = st.text("abcdefgh", min_size=1, max_size=1)


@given(calls=st.lists(st.lists(letters, max_size=12), max_size=12), entries_max=st.integers(1, 10))
def test_answers_are_those_of_the_function_and_entries_stay_bounded(calls: list[list[str]], entries_max: int) -> None:
    lookup = CachedLookup("test", str.upper, entries_max, length_max=1)
    for texts in calls:
        assert lookup(texts) == [text.upper() for text in texts]
        assert lookup.entries <= max(2, entries_max)


@given(texts=st.lists(letters, max_size=60), half=st.integers(1, 5))
def test_the_later_half_of_the_entries_is_not_looked_up_again(texts: list[str], half: int) -> None:
    lookup = CachedLookup("test", str.upper, 2 * half, length_max=1)
    for number, text in enumerate(texts):
        misses = lookup.misses
        lookup([text])
        asked_last = list(dict.fromkeys(reversed(texts[:number])))[:half]
        assert lookup.misses == misses or text not in asked_last


def test_misses_count_the_calls_of_the_function() -> None:
    lookup = CachedLookup("test", len, 10, length_max=10)
    lookup(["a", "b", "a"])
    lookup(["b", "c"])
    assert (lookup.name, lookup.misses, lookup.entries) == ("test", 3, 3)


def test_a_text_that_is_asked_for_again_is_one_entry() -> None:
    lookup = CachedLookup("test", str.upper, 4, length_max=1)
    lookup(["a", "b", "c", "a"])
    assert (lookup.entries, lookup.misses) == (3, 3)


def test_a_long_text_has_its_own_answer_and_is_not_remembered() -> None:
    lookup = CachedLookup("test", str.upper, 10, length_max=3)
    assert lookup(["abcdef", "abcxyz", "abc", "abcdef"]) == ["ABCDEF", "ABCXYZ", "ABC", "ABCDEF"]
    assert (lookup.misses, lookup.entries) == (4, 1)


@given(texts=st.lists(st.text(max_size=20), max_size=60), chars_max=st.integers(2, 50))
def test_what_is_remembered_is_bounded_in_characters(texts: list[str], chars_max: int) -> None:
    kept: list[weakref.ref[Answer]] = []

    def find(text: str) -> Answer:
        answer = Answer(len(text))
        kept.append(weakref.ref(answer))
        return answer

    lookup = CachedLookup("test", find, 1_000, length_max=10, chars_max=chars_max)
    for text in texts:
        assert lookup([text])[0].chars == len(text)
        alive = [answer for ref in kept if (answer := ref()) is not None]
        # Each of the two generations ends with the text that is too much for it.
        assert sum(answer.chars for answer in alive) <= chars_max + 2 * 10
        del alive
