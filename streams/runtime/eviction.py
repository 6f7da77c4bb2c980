"""States whose window has passed leave the table, a few at a time, so that memory follows the traffic. Pure."""

from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Final

from streams.runtime.envelope import applied_offset, last_active_ms
from streams.runtime.store import ShardStore

_FAR: Final = 2**63
# Of each partition and epoch: as many as without traffic, and so many more for each state touched, so that what comes
# leaves as fast. Two thousand of each partition in every epoch was a sixth of a worker's time at 2,000 events a second.
_LOOKED_AT_MIN: Final = 100
_LOOKED_AT_PER_TOUCHED: Final = 2


class Evictor:
    """Looks at a bounded number of states an epoch, round and round; at more where more are touched.

    A state leaves when the newest state of its partition is younger by more than `window_ms`, which may depend on its
    key: the time of the data decides, so a replay of old records evicts nothing that it still needs. But never later
    than `latest_ms()`: states of older workers may have a time that no event had.

    committed: the source offset that a partition is committed up to. A state with records beyond it neither leaves nor
    makes another one old: what a killed worker left is read again, and then each state must be as old as it was.
    """

    def __init__(
        self,
        window_ms: int | Callable[[bytes], int],
        looked_at_max: int = 2_000,
        latest_ms: Callable[[], int] = lambda: _FAR,
        committed: Callable[[int], int] = lambda _: _FAR,
    ) -> None:
        self._latest_ms = latest_ms
        self._committed = committed
        self._window_ms = window_ms
        self._looked_at_max = looked_at_max
        self._pending: dict[int, list[bytes]] = {}
        self._newest: dict[int, int] = {}
        self.evicted = 0

    def expired(self, store: ShardStore, touched: Mapping[int, Collection[bytes]]) -> dict[int, dict[bytes, int]]:
        """Keys to be deleted now with the offset applied to each, by partition; touched ones are in use and stay."""
        found: dict[int, dict[bytes, int]] = {}
        latest = self._latest_ms()
        for partition, shard in store.shards.items():
            pending = self._pending.get(partition)
            if not pending:
                pending = self._pending[partition] = shard.handles()
            newest = self._newest.get(partition, 0)
            in_use, committed = touched.get(partition, ()), self._committed(partition)
            count = min(self._looked_at_max, _LOOKED_AT_MIN + _LOOKED_AT_PER_TOUCHED * len(in_use))
            batch = pending[-count:]
            del pending[-count:]
            for handle in batch:
                value = shard.value_at(handle)
                if value is None or (applied := applied_offset(value)) >= committed:
                    continue
                at = last_active_ms(value)
                newest = max(newest, min(at, latest))
                window_ms = self._window_ms
                if newest - at > (window_ms(shard.key_at(handle)) if callable(window_ms) else window_ms):
                    key = shard.key_at(handle)  # only here: to put one together costs as much as the rest
                    if key not in in_use:
                        found.setdefault(partition, {})[key] = applied
            self._newest[partition] = newest
        for keys in found.values():
            self.evicted += len(keys)
        for gone in self._pending.keys() - store.shards.keys():
            del self._pending[gone]
            self._newest.pop(gone, None)
        return found


def sizes(store: ShardStore, sampled_max: int = 1_000) -> tuple[int, int]:
    """Number of states held, and their bytes estimated from a sample of each shard."""
    count = size = 0
    for shard in store.shards.values():
        sample = [len(key) + len(value) for key, value in islice(shard.items(), sampled_max)]
        count += len(shard)
        if sample:
            size += sum(sample) * len(shard) // len(sample)
    return count, size
