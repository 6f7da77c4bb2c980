"""The values of one partition of a table, by key, in little memory.

Most of a key is the ids of its tenant and project, the same for very many keys: `Scopes` keeps each once and gives it a
number of four bytes. What a shard holds of a key, its *handle*, is that number and the rest of the key. Values stay as
they are in the changelog.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Final, TypeVar, overload

from schemas import keys

T = TypeVar("T")
_NUMBER_BYTES: Final = 4


class Scopes:
    """What keys begin with, each once; those of all shards of a store, for as long as the process lives."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, bytes] = {}
        self._scopes: dict[bytes, bytes] = {}
        self._end = 0  # of the scope found last: most are equally long

    def handle(self, key: bytes) -> bytes:
        """A key, short."""
        end = self._end
        number = self._numbers.get(key[:end]) if end else None
        if number is None:
            end = self._end = keys.scope_end(key)
            scope = key[:end]
            number = self._numbers.get(scope)
            if number is None:
                number = self._numbers[scope] = len(self._numbers).to_bytes(_NUMBER_BYTES, "big")
                self._scopes[number] = scope
        return number + key[end:]

    def key(self, handle: bytes) -> bytes:
        """The inverse of `handle`."""
        return self._scopes[handle[:_NUMBER_BYTES]] + handle[_NUMBER_BYTES:]


class Shard(MutableMapping[bytes, bytes]):
    """A dictionary of whole keys to whoever uses it. 66 bytes a key less than one, where a key has two UUIDs first."""

    def __init__(self, scopes: Scopes) -> None:
        self._scopes = scopes
        self._values: dict[bytes, bytes] = {}
        self._key, self._handle = b"", scopes.handle(b"")  # asked for last: who has read a value writes it next

    def _handle_of(self, key: bytes) -> bytes:
        if key is not self._key:
            self._key, self._handle = key, self._scopes.handle(key)
        return self._handle

    def handles(self) -> list[bytes]:
        """Of all keys that there are now."""
        return list(self._values)

    def value_at(self, handle: bytes) -> bytes | None:
        """The value of a handle's key; None when it has left."""
        return self._values.get(handle)

    def key_at(self, handle: bytes) -> bytes:
        """The key of a handle, also of one that has left."""
        return self._scopes.key(handle)

    def add_new(self, keys: Iterable[bytes], values: Iterable[bytes]) -> list[bytes]:
        """Take the values of keys that have none yet; what each key has then: its own value, or that of before."""
        return list(map(self._values.setdefault, map(self._scopes.handle, keys), values))

    @overload
    def get(self, key: bytes, /) -> bytes | None: ...
    @overload
    def get(self, key: bytes, default: bytes | T, /) -> bytes | T: ...
    def get(self, key: bytes, default: object = None, /) -> object:
        """As that of a dictionary; no exception is raised and caught on the way, as the base class would."""
        return self._values.get(self._handle_of(key), default)

    def __getitem__(self, key: bytes) -> bytes:
        return self._values[self._handle_of(key)]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._values[self._handle_of(key)] = value

    def __delitem__(self, key: bytes) -> None:
        del self._values[self._handle_of(key)]

    def __iter__(self) -> Iterator[bytes]:
        return map(self._scopes.key, self._values)

    def __len__(self) -> int:
        return len(self._values)
