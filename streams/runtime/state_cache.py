"""The states of one table, decoded, while an epoch changes them and for a while after."""

from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

from faust.types import TP

from streams.runtime.envelope import UnreadableStateError, highest_applied
from streams.runtime.eviction import Evictor
from streams.runtime.operator import Changes, Reached, StateCodec
from streams.runtime.tables import StateTable

S = TypeVar("S")


class StateCache(Generic[S]):
    """Write-behind: states are changed here, and become the table's once the changelog has them.

    Touched states are those of the open epoch. Those of the last epochs stay decoded, at most `decoded_max`: a
    visitor's next event is never far away.
    """

    def __init__(
        self, table: StateTable, codec: StateCodec[S], evictor: Evictor | None = None, decoded_max: int = 20_000
    ) -> None:
        self._table = table
        self._codec = codec
        self._evictor = evictor
        self._decoded_max = decoded_max
        # By partition and key: one key in two of them (a producer with another partitioner) is two states, since an
        # offset says nothing in another partition.
        self._touched: dict[int, dict[bytes, S]] = {}
        self._clean: dict[int, dict[bytes, S]] = {}
        self._ending: Changes | None = None
        self._version = -1
        self.largest_bytes, self.largest_key = 0, b""  # of all states encoded so far

    def state_of(self, partition: int, key: bytes) -> S:
        """The state of a key of a partition, to be changed in place."""
        touched = self._touched.get(partition)
        if touched is None:
            touched = self._touched[partition] = {}
        found = touched.get(key)
        if found is not None:
            return found
        found = self._untouched(partition, key)
        if found is None:
            found = self._codec.new()
        else:
            self._clean.get(partition, {}).pop(key, None)
        touched[key] = found
        return found

    def peek(self, partition: int, key: bytes) -> S | None:
        """The state of a key as it is in the open epoch, to be read; None when there is none."""
        found = self._touched.get(partition, {}).get(key)
        if found is None:
            found = self._untouched(partition, key)
            if found is not None:
                self._clean.setdefault(partition, {})[key] = found
        return found

    @property
    def version(self) -> int:
        """Another one when partitions have come or gone, or were restored."""
        return self._table.store.version

    def held(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Partition, key and durable value of every state."""
        for partition, shard in self._table.store.shards.items():
            for key, value in shard.items():
                yield partition, key, value

    def _untouched(self, partition: int, key: bytes) -> S | None:
        store = self._table.store
        if store.version != self._version:
            # Restored or rebalanced meanwhile: what was decoded may not be what the store holds.
            self._clean.clear()
            self._version = store.version
        clean = self._clean.get(partition)
        found = clean.get(key) if clean else None
        if found is not None:
            return found
        value = store.shard(partition).get(key)
        return None if value is None else self._decoded(partition, key, value)

    def _decoded(self, partition: int, key: bytes, value: bytes) -> S:
        try:
            return self._codec.decode(value)
        except UnreadableStateError as error:
            raise UnreadableStateError(f"{error} (key {key!r}, partition {partition})") from error

    def __len__(self) -> int:
        return sum(map(len, self._touched.values()))

    def touched(self) -> Iterator[tuple[int, bytes, S]]:
        """Partition, key and state of every touched key."""
        for partition, states in self._touched.items():
            for key, state in states.items():
                yield partition, key, state

    def end_epoch(self) -> Changes:
        """The touched states, encoded, and the keys whose time has passed."""
        by_partition: dict[int, list[tuple[bytes, bytes | None]]] = {}
        applied: dict[int, int] = {}
        encode, clipped = self._codec.encode, self._codec.clipped
        for partition, states in self._touched.items():
            pairs: list[tuple[bytes, bytes]] = []
            for key, state in states.items():
                value = encode(state)
                if len(value) > self.largest_bytes:
                    self.largest_bytes, self.largest_key = len(value), key
                pairs.append((key, value))
            if pairs:
                by_partition[partition] = [*pairs]
                highest = highest_applied([value for _, value in pairs])
                if highest > self._table.store.durable_to(partition):
                    applied[partition] = highest
        gone = self._evictor.expired(self._table.store, self._touched) if self._evictor is not None else {}
        for partition, keys in gone.items():
            by_partition.setdefault(partition, []).extend((key, None) for key in keys)
        for partition, key, again, offset in self._table.store.owed():
            if key in self._touched.get(partition, ()) or key in gone.get(partition, ()):
                continue  # is written as it is now
            by_partition.setdefault(partition, []).append((key, again))
            if again is None:
                gone.setdefault(partition, {})[key] = offset
        clipped = self._codec.clipped - clipped
        self._ending = Changes(self._table.changelog_topic_name, by_partition, clipped, gone, applied)
        return self._ending

    def confirm(self, reached: Reached) -> None:
        """The changes are durable up to the changelog offsets `reached`: they become the table's.

        Raises ForeignRecordsError when there are others among them.
        """
        if self._ending is None:
            raise RuntimeError("no epoch has ended: its changes cannot be durable")
        store = self._table.store
        for partition, pairs in self._ending.by_partition.items():
            tp = TP(self._ending.changelog, partition)
            if tp in reached:
                store.check_end(tp, reached[tp], own=len(pairs))
            store.write(partition, pairs)
            store.written(partition, (key for key, _ in pairs))
            clean = self._clean.setdefault(partition, {})
            for key, value in pairs:
                if value is None:
                    clean.pop(key, None)
        store.confirm(self._ending.applied)
        for place, offset in reached.items():
            store.set_persisted_offset(TP(*place), offset)
        for partition, states in self._touched.items():
            self._clean.setdefault(partition, {}).update(states)
        self._touched, self._ending = {}, None
        self._forget_clean()

    def _forget_clean(self) -> None:
        """Drop what is too much of what is only kept decoded: the oldest of each partition."""
        total = sum(map(len, self._clean.values()))
        excess = total - self._decoded_max
        if excess > 0:
            for states in self._clean.values():
                for key in list(islice(states, -(-excess * len(states) // total))):
                    del states[key]

    def rollback(self) -> None:
        """Forget every change: the states are the store's again."""
        self._touched.clear()
        self._clean.clear()
        self._ending = None
