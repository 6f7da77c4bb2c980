"""Tables that Faust restores and places, and that epochs write."""

from typing import Protocol

import faust
from faust.types import TP

from streams.runtime.store import ShardStore


class StateTable(Protocol):
    """What a `StateCache` asks of a table; `WriteBehindTable` is the one that Faust restores."""

    @property
    def changelog_topic_name(self) -> str: ...
    @property
    def store(self) -> ShardStore: ...


class WriteBehindTable(faust.Table):
    """A Faust table whose changelog is written by epochs. Faust restores it and places its partitions."""

    def _new_store(self) -> ShardStore:
        return ShardStore("shards://", self.app, self, table_name=self.name, loop=self.loop)

    def persisted_offset(self, tp: TP) -> int:
        """The changelog offset up to which a partition is contained; -1 when none of it is.

        Where Faust is told nothing it goes on from where its last restore of the partition was, if it ever had it.
        """
        offset = self.store.persisted_offset(tp)
        return -1 if offset is None else offset

    @property
    def store(self) -> ShardStore:
        """The store, typed."""
        store: ShardStore = self.data
        return store
