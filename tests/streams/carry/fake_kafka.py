"""Kafka as carrying asks it: topics, groups and members in memory."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from faust.types import TP

from schemas.settings import Settings
from schemas.topics import STATE_TABLES, changelog_of
from streams.carry.kafka import Kafka
from streams.carry.moves import Found, newest
from streams.runtime.operator import Outgoing

Places = dict[tuple[str, int], int]


class FakeKafka(Kafka):
    """Topics of two partitions each, and a publisher to them.

    ends: of topics, where they have more than the records. before_write: called with how many were written before.
    """

    def __init__(self, settings: Settings, *, partitions: int = 2) -> None:
        self._settings = settings
        self.sizes = defaultdict(lambda: partitions, {"enriched_events": 0})
        self.logs: dict[tuple[str, int], list[Found]] = defaultdict(list)
        self.ends: Places = {}
        self.commits: dict[int, Places] = defaultdict(dict)
        self.workers: dict[int, int] = defaultdict(int)
        self.before_write: Callable[[int], None] = lambda _count: None
        self._written = 0

    def append(self, topic: str, partition: int, key: bytes, value: bytes | None, headers: object = ()) -> None:
        log = self.logs[topic, partition]
        assert isinstance(headers, Sequence)
        log.append(Found(len(log), key, value, headers))

    def states(self, settings: Settings) -> dict[tuple[str, int], Mapping[bytes, bytes]]:
        """Those that a generation would restore, where there are any, by source and partition."""
        found = {
            (source, partition): newest(self.logs[changelog_of(source, settings), partition])
            for source in STATE_TABLES
            for partition in range(self.sizes[source])
        }
        return {place: states for place, states in found.items() if states}

    def partitions(self, topic: str) -> int:
        return self.sizes[topic]

    def members(self, settings: Settings) -> int:
        return self.workers[settings.streams_generation]

    def committed(self, settings: Settings, partitions: Mapping[str, int]) -> Places:
        return dict(self.commits[settings.streams_generation])

    def commit(self, settings: Settings, offsets: Mapping[tuple[str, int], int]) -> None:
        self.commits[settings.streams_generation] |= offsets

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, self.ends.get((topic, partition), len(self.logs[topic, partition]))

    def read(self, topic: str, partition: int, start: int = 0) -> Iterator[Found]:
        return iter(self.logs[topic, partition][start:])

    def publish(self, topic: str, records: Sequence[Outgoing], partition: int = -1) -> None:
        self.before_write(self._written)
        self._written += len(records)
        for record in records:
            self.append(self._plain(topic), partition, record["key"], record["value"])

    def publish_one(self, topic: str, record: Outgoing, partition: int) -> None:
        self.append(self._plain(topic), partition, record["key"], record["value"], record["headers"])

    def queued(self) -> int:
        return 0

    async def flush(self) -> dict[TP, int]:
        return {}

    def _plain(self, topic: str) -> str:
        return topic.removeprefix(self._settings.topic(""))
