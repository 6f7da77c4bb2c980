"""Which record of a changelog counts, of several of one key. Pure.

The one with the larger applied offset, whichever stands last: a worker that was suspended while it wrote may have gone
on after the next owner had written newer states. A tombstone says in a header which offset was applied to the state
that left, so the same holds for it. Those of older releases do not: they end whatever stands before them.

A state that was carried to a generation that never began, and is taken back (`streams.carry`), may be carried once more
as it was: its tombstone says so in a header of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from operator import is_not, not_
from typing import Final, Protocol, TypeVar

from streams.runtime.envelope import applied_offset, highest_applied, is_of_a_version
from streams.runtime.shard import Shard

_APPLIED: Final = "applied"
_TAKEN_BACK: Final = "taken_back"
Headers = Iterable[tuple[str, bytes]] | None


class ChangelogRecord(Protocol):
    """A record as a fetch brings it."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


R = TypeVar("R", bound=ChangelogRecord)


def tombstone_headers(applied: int) -> list[tuple[str, bytes]]:
    """The headers of the tombstone of a state to which records up to this offset were applied."""
    return [(_APPLIED, str(applied).encode())]


def takes_back(applied: int) -> list[tuple[str, bytes]]:
    """The headers of a tombstone behind which the same state, with this offset applied, counts when it comes again."""
    return [*tombstone_headers(applied), (_TAKEN_BACK, b"")]


def _applied_of_tombstone(headers: Headers) -> int | None:
    return next((int(value) for name, value in headers or () if name == _APPLIED), None)


class Newest:
    """What the changelog of one partition says of its keys, record by record.

    values: of the keys that there are; outdone: keys of which the record that stands last is not the one that counts.
    Compaction would keep that one, so they have to be written again.
    """

    def __init__(self, values: Shard) -> None:
        self.values = values
        self.outdone: set[bytes] = set()
        self.highest = -1  # offset applied, of all values that came
        self._gone: dict[bytes, int] = {}

    def take_new(self, records: Sequence[R]) -> Sequence[R]:
        """Take the values of keys of which nothing is known, all at once: most records of a restore are such.

        The others are to be applied one by one, in their order; all are when one of them is not of a version, or has
        no key.
        """
        buried = {record.key for record in records if record.value is None}
        others: list[R] = []
        new = records
        if buried or self._gone or self.outdone:
            told = [any(record.key in keys for keys in (buried, self._gone, self.outdone)) for record in records]
            others = list(compress(records, told))
            new = list(compress(records, map(not_, told)))
        keys = [record.key for record in new if record.key is not None]
        values = [record.value for record in new if record.value is not None]
        if len(keys) < len(new) or not values or not is_of_a_version(values):
            return records
        self.highest = max(self.highest, highest_applied(values))
        held = self.values.add_new(keys, values)
        return others + list(compress(new, map(is_not, held, values)))

    def apply(self, key: bytes, value: bytes | None, headers: Headers) -> bool:
        """Take the next record; whether it counts, as long as no other comes."""
        present = self.values.get(key)
        known = applied_offset(present) if present is not None else self._gone.get(key, -1)
        if value is None:
            said = _applied_of_tombstone(headers)
            counts = self._bury(key, known if said is None else said, known)
            if counts and any(name == _TAKEN_BACK for name, _ in headers or ()):
                del self._gone[key]
            return counts
        applied = applied_offset(value)
        if applied > self.highest:
            self.highest = applied
        # A state that left does not come back as it was: the next one of its key begins with a later record.
        if applied < known or (present is None and applied == known and key in self._gone):
            self.outdone.add(key)
            return False
        self.values[key] = value
        if self.outdone:
            self.outdone.discard(key)
        if self._gone:
            self._gone.pop(key, None)
        return True

    def _bury(self, key: bytes, applied: int, known: int) -> bool:
        if applied < known:
            self.outdone.add(key)
            return False
        self.outdone.discard(key)
        self.values.pop(key, None)
        self._gone[key] = applied
        return True

    def owed(self) -> Iterator[tuple[bytes, bytes | None, int]]:
        """Key, value (None when it is gone) and applied offset of what has to be written again."""
        for key in self.outdone:
            value = self.values.get(key)
            yield key, value, self._gone.get(key, -1) if value is None else applied_offset(value)

    def written(self, keys: Iterable[bytes]) -> None:
        """The last record of these keys is the one that counts."""
        self.outdone.difference_update(keys)
        if not self.outdone:
            self._gone.clear()
