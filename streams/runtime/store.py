"""Where a table's values live: raw bytes, one dictionary a partition, with the changelog offset each has reached."""

from collections.abc import Callable, Iterable
from typing import Any

from faust.stores.base import Store
from faust.types import TP

from streams.runtime.envelope import outdates


class ShardStore(Store):
    """Keys and values as bytes: about 0.9 KB a session state, dictionaries included.

    Written by epochs, restored from the changelog. `shards[partition][key]` is the last durable value.
    """

    def __post_init__(self) -> None:
        self.shards: dict[int, dict[bytes, bytes]] = {}
        self.version = 0  # rises when anything but `write` changes values
        self.restored = 0  # changelog records applied since the start
        self._reached: dict[TP, int] = {}

    def shard(self, partition: int) -> dict[bytes, bytes]:
        """The values of one partition."""
        return self.shards.setdefault(partition, {})

    def write(self, partition: int, pairs: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Make durable changes the shard's; None deletes."""
        shard = self.shard(partition)
        for key, value in pairs:
            if value is None:
                shard.pop(key, None)
            else:
                shard[key] = value

    def persisted_offset(self, tp: TP) -> int | None:
        """The changelog offset up to which `tp` is contained: what recovery need not read again."""
        return self._reached.get(tp)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        self._reached[tp] = max(offset, self._reached.get(tp, -1))

    def apply_changelog_batch(
        self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Apply chunks of changelog records."""
        for event in batch:
            shard = self.shard(event.message.partition)
            for record in event.message.value:
                key, value = record.key, record.value
                if value is None:
                    shard.pop(key, None)
                elif outdates(value, shard.get(key)):
                    shard[key] = value
            self.restored += len(event.message.value)
            self.version += 1
            self.set_persisted_offset(event.message.tp, event.message.offset)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Drop the shards of partitions that are no longer ours."""
        self.version += 1
        changelog = self.table.changelog_topic_name
        kept = {tp.partition for tp in assigned if tp.topic == changelog}
        for partition in [partition for partition in self.shards if partition not in kept]:
            del self.shards[partition]
        self._reached = {tp: offset for tp, offset in self._reached.items() if tp.partition in kept}

    def reset_state(self) -> None:
        self.shards.clear()
        self._reached.clear()

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
