"""Write-behind tables: states are changed in memory during an epoch and written to the changelog once, at its end."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Generic, Protocol, TypeVar

import faust
from faust.types import TP

from streams.runtime.store import ShardStore

S = TypeVar("S")
# For each partition, keys and values; None for a key that leaves the table.
Changes = dict[int, list[tuple[bytes, bytes | None]]]


class StateCodec(Protocol[S]):
    """How a state becomes a value of the table, and what a missing one is."""

    def new(self) -> S: ...
    def encode(self, state: S) -> bytes: ...
    def decode(self, value: bytes) -> S: ...


class StateTable(Protocol):
    """What sources ask of a table; `WriteBehindTable` is the one that Faust restores."""

    @property
    def changelog_topic_name(self) -> str: ...
    @property
    def store(self) -> ShardStore: ...


class WriteBehindTable(faust.Table):
    """A Faust table whose changelog is written by epochs. Faust restores it and places its partitions."""

    def _new_store(self) -> ShardStore:
        return ShardStore("shards://", self.app, self, table_name=self.name, loop=self.loop)

    @property
    def store(self) -> ShardStore:
        """The store, typed."""
        store: ShardStore = self.data
        return store


class Epoch(Generic[S]):
    """The states of one table that the open epoch has touched, decoded.

    `state_of` is what the steps call; `changes` what the changelog gets; `settle` makes them the store's. States of
    the last epochs stay decoded, at most `decoded_max`: a visitor's next event is never far away.
    """

    def __init__(self, store: Callable[[], ShardStore], codec: StateCodec[S], decoded_max: int = 50_000) -> None:
        self._store = store
        self._codec = codec
        self._decoded_max = decoded_max
        self._dirty: dict[bytes, tuple[int, S]] = {}
        self._clean: dict[bytes, tuple[int, S]] = {}
        self._version = -1

    def state_of(self, partition: int, key: bytes) -> S:
        """The state of a key, to be changed in place; a key lives in one partition."""
        found = self._dirty.get(key)
        if found is not None:
            return found[1]
        store = self._store()
        if store.version != self._version:
            # Restored or rebalanced meanwhile: what was decoded may not be what the store holds.
            self._clean.clear()
            self._version = store.version
        found = self._clean.pop(key, None)
        if found is None:
            value = store.shard(partition).get(key)
            found = partition, self._codec.new() if value is None else self._codec.decode(value)
        self._dirty[key] = found
        return found[1]

    def __len__(self) -> int:
        return len(self._dirty)

    def states(self) -> Iterator[tuple[int, bytes, S]]:
        """Partition, key and state of every touched key."""
        for key, (partition, state) in self._dirty.items():
            yield partition, key, state

    def __contains__(self, key: object) -> bool:
        return key in self._dirty

    def changes(self) -> Changes:
        """For each partition, the keys and values to be written."""
        changes: Changes = {}
        encode = self._codec.encode
        for key, (partition, state) in self._dirty.items():
            changes.setdefault(partition, []).append((key, encode(state)))
        return changes

    def settle(self, changes: Changes, reached: Mapping[TP, int]) -> None:
        """The changes are durable up to the changelog offsets `reached`: they become the store's."""
        store = self._store()
        for partition, pairs in changes.items():
            store.write(partition, pairs)
            for key, value in pairs:
                if value is None:
                    self._clean.pop(key, None)
        for tp, offset in reached.items():
            store.set_persisted_offset(tp, offset)
        self._clean.update(self._dirty)
        self._dirty = {}
        excess = len(self._clean) - self._decoded_max
        if excess > 0:
            for key in list(islice(self._clean, excess)):
                del self._clean[key]

    def abandon(self) -> None:
        """Forget every change: the states are the store's again."""
        self._dirty.clear()
        self._clean.clear()


def changelog_topic(table: StateTable) -> str:
    """The broker's name of a table's changelog."""
    return table.changelog_topic_name
