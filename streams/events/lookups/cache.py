"""A bounded cache in front of a pure function of a text."""

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

V = TypeVar("V")


class Lookup(Protocol[V]):
    """Answers for distinct texts, in their order. `entries` and `misses` feed the cache metrics under `name`."""

    name: str
    entries: int
    misses: int

    def __call__(self, texts: Iterable[str]) -> list[V]: ...


class CachedLookup(Generic[V]):
    """Remembers between half of and all of the `entries_max` texts asked for last.

    Two dictionaries take turns: what is asked for moves to the young one, and when that holds half of the entries it
    becomes the old one and the old one is let go. An exact LRU would cost a list move for every hit.
    Texts longer than `length_max` are answered and not remembered, and all that are hold no more than `chars_max`
    characters: what is forgotten, or never kept, changes the time of an answer and never the answer.
    """

    def __init__(
        self, name: str, find: Callable[[str], V], entries_max: int, length_max: int, chars_max: int = 2**24
    ) -> None:
        self.name = name
        self.entries = 0
        self.misses = 0
        self._find = find
        self._half_max = max(1, entries_max // 2)
        self._length_max = length_max
        self._half_chars_max = chars_max // 2
        self._young_chars = 0
        self._young: dict[str, V] = {}
        self._old: dict[str, V] = {}

    def __call__(self, texts: Iterable[str]) -> list[V]:
        """One answer for each text, in order. Raises what `find` raises."""
        # Looked up anew each time, since a turn of generations in the middle of a call swaps the dictionaries.
        found = [self._young[text] if text in self._young else self._turn_to(text) for text in texts]
        self.entries = len(self._young) + len(self._old)
        return found

    def _turn_to(self, text: str) -> V:
        if len(text) > self._length_max:
            self.misses += 1
            return self._find(text)
        if text in self._old:
            value = self._old.pop(text)
        else:
            self.misses += 1
            value = self._find(text)
        if len(self._young) >= self._half_max or self._young_chars + len(text) > self._half_chars_max:
            self._young, self._old, self._young_chars = {}, self._young, 0
        self._young[text] = value
        self._young_chars += len(text)
        return value
