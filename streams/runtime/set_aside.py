"""The records that an operator set aside by their places, so that a worker gets past one that a step fails on. Pure."""

from collections.abc import Iterator
from typing import Final

from schemas.column_codec import Invalid
from schemas.outcomes import DeadReason
from streams.runtime.operator import Records

_DETAIL: Final = "set aside by TALLY_STREAMS_SET_ASIDE"


class SetAside:
    """Places from the setting: `topic/partition/offset` or `topic/partition/first-last`, comma separated.

    Topics are named as in schemas.topics. The setting's pattern is that of `schemas.settings`.
    """

    def __init__(self, places: str) -> None:
        self._offsets: dict[str, dict[int, list[range]]] = {}
        for place in filter(None, map(str.strip, places.split(","))):
            topic, partition, offsets = place.split("/")
            first, _, last = offsets.partition("-")
            of_topic = self._offsets.setdefault(topic, {})
            of_topic.setdefault(int(partition), []).append(range(int(first), int(last or first) + 1))

    def among(self, topic: str, records: Records) -> list[Invalid]:
        """Those of the records that are set aside."""
        by_partition = self._offsets.get(topic)
        return list(_found(by_partition, records)) if by_partition else []


def _found(by_partition: dict[int, list[range]], records: Records) -> Iterator[Invalid]:
    for index, (partition, offset) in enumerate(zip(records.partitions, records.offsets, strict=True)):
        if any(offset in offsets for offsets in by_partition.get(partition, ())):
            yield Invalid(index, DeadReason.STEP_FAILED, _DETAIL)
