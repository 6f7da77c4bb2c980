"""Records of a topic that somebody looks for."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from schemas.settings import Settings
from schemas.whole_topic import read_whole


class Found(NamedTuple):
    """A record as it stands in a topic."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def find(settings: Settings, topic: str, wanted: Callable[[bytes, bytes | None], bool]) -> list[Found]:
    """The records of a topic, by its name in the contract, whose key and value are wanted; in order by partition.

    Raises TopicUnreadableError.
    """
    found = [
        Found(record.partition, record.offset, record.key, record.value, record.headers)
        for record in read_whole(settings, topic)
        if record.key is not None and wanted(record.key, record.value)
    ]
    return sorted(found, key=lambda one: (one.partition, one.offset))
