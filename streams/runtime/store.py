"""Where a table's values live: raw bytes, one shard a partition, with the changelog offset each has reached."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import structlog
from faust.stores.base import Store
from faust.types import TP

from streams.runtime.exits import Exit
from streams.runtime.newest import Newest
from streams.runtime.shard import Scopes, Shard

log = structlog.get_logger("streams.store")


class ForeignRecordsError(Exception):
    """Somebody else has written to the changelog of a partition that is ours, or was."""


class ShardStore(Store):
    """Keys and values as bytes.

    Written by epochs, restored from the changelog. `shards[partition][key]` is the last durable value.
    """

    def __post_init__(self) -> None:
        self.shards: dict[int, Shard] = {}
        self._scopes = Scopes()
        self.version = 0  # rises when anything but `write` changes values
        self.restored = 0  # changelog records applied since the start
        self._reached: dict[TP, int] = {}
        self._due: dict[TP, int] = {}  # where the next chunk of a restore begins at the latest
        self._ours: set[TP] | None = None  # changelog partitions; None before anybody has said so
        self._restored: dict[int, Newest] = {}
        self._confirmed: dict[int, int] = {}

    def shard(self, partition: int) -> Shard:
        """The values of one partition."""
        found = self.shards.get(partition)
        if found is None:
            found = self.shards[partition] = Shard(self._scopes)
        return found

    def write(self, partition: int, pairs: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Make durable changes the shard's; None deletes."""
        shard = self.shard(partition)
        for key, value in pairs:
            if value is None:
                shard.pop(key, None)
            else:
                shard[key] = value

    def owed(self) -> Iterator[tuple[int, bytes, bytes | None, int]]:
        """Partition, key, value and applied offset of what a late writer's records would outlive: to be written again.

        The value is None for a key that has left.
        """
        for partition, restored in self._restored.items():
            for key, value, applied in restored.owed():
                yield partition, key, value, applied

    def durable_to(self, partition: int) -> int:
        """The highest offset applied to any state that the changelog has; -1 when there is none."""
        restored = self._restored.get(partition)
        return max(self._confirmed.get(partition, -1), restored.highest if restored is not None else -1)

    def confirm(self, applied: Mapping[int, int]) -> None:
        """States to which these offsets were applied, the highest of each partition, are durable."""
        self._confirmed |= applied

    def written(self, partition: int, keys: Iterable[bytes]) -> None:
        """The changelog ends with what counts of these keys."""
        if partition in self._restored:
            self._restored[partition].written(keys)

    def check_end(self, tp: TP, last: int, own: int = 0) -> None:
        """Raises ForeignRecordsError if a changelog whose last offset is `last` holds more than we know and `own` more.

        Nobody writes to it but the owner of its partition. So an offset that is not ours is that of a worker which had
        been suspended, or was written while we were: in either case nobody knows here what is in the changelog.
        """
        known = self._reached.get(tp)
        if known is not None and last > known + own:
            raise ForeignRecordsError(f"{tp.topic}/{tp.partition} reaches to {last}, and what we know to {known + own}")

    def persisted_offset(self, tp: TP) -> int | None:
        """The changelog offset up to which `tp` is contained: what recovery need not read again."""
        return self._reached.get(tp)

    def known(self) -> list[TP]:
        """The changelog partitions of which is known how far they are contained."""
        return list(self._reached)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        self._reached[tp] = max(offset, self._reached.get(tp, -1))

    def expect(self, tp: TP, offset: int) -> None:
        """A restore of a changelog's partition reads on from this offset."""
        self._due[tp] = self._reached[tp] + 1 if tp in self._reached else offset

    def apply_changelog_batch(
        self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Apply chunks of changelog records. Ends the process when some are missing before a chunk, or can't be read.

        Faust may put a chunk of a restore that a rebalance ended into the next one, and skips all that it has passed
        then. It would take an exception for a warning and go on, with states older than anybody knows.
        """
        for event in batch:
            if not self._goes_on(event.message):
                continue
            partition = event.message.partition
            restored = self._restored.get(partition)
            if restored is None:
                restored = self._restored[partition] = Newest(self.shard(partition))
            for record in restored.take_new(event.message.value):
                try:
                    restored.apply(record.key, record.value, record.headers)
                except Exception as error:
                    _end_unreadable(event.message.tp, record, error)
            self.restored += len(event.message.value)
            self.version += 1
            self.set_persisted_offset(event.message.tp, event.message.offset)

    def _goes_on(self, message: Any) -> bool:
        """Whether a chunk of a restore is of a partition that is ours."""
        if self._ours is not None and message.tp not in self._ours:
            return False  # it was, when the chunk was read
        known = message.tp in self._due or self._ours is None
        due = self._due.get(message.tp, message.start)
        if not known or message.start > due:
            log.critical(
                "records of a changelog went missing between fetch and table; ending, so that it is restored anew",
                topic=message.topic,
                partition=message.partition,
                due=due if known else None,
                came=message.start,
            )
            os._exit(Exit.CHUNK_MISSING)
        self._due[message.tp] = max(due, message.offset + 1)
        return True

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Drop the shards of partitions that are no longer ours."""
        self.version += 1
        changelog = self.table.changelog_topic_name
        self._ours = {TP(*tp) for tp in assigned if tp.topic == changelog}
        kept = {tp.partition for tp in self._ours}
        for partition in [partition for partition in self.shards if partition not in kept]:
            del self.shards[partition]
            self._restored.pop(partition, None)
            self._confirmed.pop(partition, None)
        self._reached = {tp: offset for tp, offset in self._reached.items() if tp.partition in kept}
        self._due = {tp: offset for tp, offset in self._due.items() if tp.partition in kept}

    def reset_state(self) -> None:
        self.shards.clear()
        self._restored.clear()
        self._confirmed.clear()
        self._reached.clear()
        self._due.clear()

    async def backup_partition(self, tp: Any, flush: bool = True, purge: bool = False, keep: int = 1) -> None:
        """Nothing to do: the changelog is the backup."""

    def restore_backup(self, tp: Any, latest: bool = True, backup_id: int = 0) -> None:
        """Nothing to do: the changelog is the backup."""

    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("states are written by epochs, by partition")

    def __delitem__(self, key: Any) -> None:
        raise TypeError("states are written by epochs, by partition")

    def __iter__(self) -> Any:
        return (key for shard in self.shards.values() for key in shard)

    def __len__(self) -> int:
        return sum(map(len, self.shards.values()))

    def __contains__(self, key: object) -> bool:
        return any(key in shard for shard in self.shards.values())

    def keys(self) -> Any:
        return iter(self)

    def values(self) -> Any:
        return (value for shard in self.shards.values() for value in shard.values())

    def items(self) -> Any:
        return (pair for shard in self.shards.values() for pair in shard.items())

    def clear(self) -> None:
        self.reset_state()


def _end_unreadable(tp: TP, record: Any, error: Exception) -> None:
    log.critical(
        "a record of a changelog cannot be read; ending before its states are used",
        topic=tp.topic,
        partition=tp.partition,
        offset=record.offset,
        key=repr(record.key),
        error=repr(error),
    )
    os._exit(Exit.STATE_UNREADABLE)
