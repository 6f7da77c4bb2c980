"""Where the states of a generation go in the next one, and in which cases nothing may go anywhere. Pure.

A state says how far its own partition is folded into it. Where the number of partitions is the same, keys stay where
they are, and so does that offset. Where partitions were added, some keys have another one from then on: their state
goes there, and begins to count anew, since the offsets of two partitions have nothing to do with each other. That is
exact when nothing of such a key still waits in its old partition, and when it has one state only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka.partitioner import murmur2

from schemas import keys
from streams.runtime.envelope import applied_offset, with_applied
from streams.runtime.newest import Newest
from streams.runtime.shard import Scopes, Shard

_NOTHING_APPLIED = -1


class RefusedError(Exception):
    """States cannot be carried without forgetting or counting twice; the text says why and what to do."""


def partition_of(key: bytes, partitions: int) -> int:
    """Where producers put a key (`schemas.kafka.producer_config`)."""
    hashed: int = murmur2(key)
    return (hashed & 0x7FFFFFFF) % partitions


@dataclass(frozen=True, slots=True)
class Moves:
    """From so many partitions to so many."""

    before: int
    after: int

    @property
    def is_grown(self) -> bool:
        """Whether keys move at all."""
        return self.before != self.after

    def is_stray(self, key: bytes, partition: int) -> bool:
        """Whether a record that waits in a partition would miss the state of its key, which is elsewhere by then."""
        return self.is_grown and partition_of(key, self.after) != partition

    def place(self, key: bytes, partition: int) -> int:
        """The partition of a key's state. Raises RefusedError for one that may have another state elsewhere."""
        if not self.is_grown:
            return partition
        source = keys.source_of_state(key)
        if partition_of(source, self.before) != partition:
            raise RefusedError(
                f"the key {key!r} has a state in partition {partition}, which its hash does not say: two states of a "
                "key cannot be made one. Its producer has another partitioner, or partitions were added while workers "
                "of the former generation went on"
            )
        return partition_of(source, self.after)

    def moved(self, key: bytes, value: bytes, partition: int) -> tuple[int, bytes]:
        """The partition of a state, and its value there. Raises RefusedError."""
        target = self.place(key, partition)
        return target, value if target == partition else with_applied(value, _NOTHING_APPLIED)


class Found(NamedTuple):
    """A record as it stands in a partition."""

    offset: int
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def newest(records: Iterable[Found]) -> Mapping[bytes, bytes]:
    """The states of one partition, of its changelog's records, as a restore has them."""
    states = Newest(Shard(Scopes()))
    for record in records:
        states.apply(record.key, record.value, record.headers)
    return states.values


def by_target(states: Mapping[bytes, bytes], partition: int, moves: Moves) -> dict[int, list[tuple[bytes, bytes]]]:
    """The states of a partition by the one that they go to. Raises RefusedError."""
    found: dict[int, list[tuple[bytes, bytes]]] = {}
    for key, value in states.items():
        target, moved = moves.moved(key, value, partition)
        found.setdefault(target, []).append((key, moved))
    return found


def stale(records: Iterable[Found], since: int) -> dict[bytes, int]:
    """The keys of a changelog whose states an interrupted run wrote, and this one, which began at an offset, did not.

    They left meanwhile. With the offset applied to what is there of them.
    """
    states, written = Newest(Shard(Scopes())), set()
    for record in records:
        states.apply(record.key, record.value, record.headers)
        if record.offset >= since:
            written.add(record.key)
    return {key: applied_offset(value) for key, value in states.values.items() if key not in written}


def unsettled(before: Mapping[tuple[str, int], int], states: Mapping[tuple[str, int], int]) -> Iterator[str]:
    """What is wrong with the former generation's commits: partitions with states, and no commit.

    before: the commits, by source and partition; states: how many there are.
    """
    for (source, partition), count in sorted(states.items()):
        if count and (source, partition) not in before:
            yield (
                f"{source}/{partition} has states and no commit: {source} was deleted and made anew, or the group was "
                "away for so long that Kafka forgot its commits"
            )
