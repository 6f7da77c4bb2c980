"""What a consumer loop uses of `confluent_kafka.Consumer`."""

from collections.abc import Callable
from typing import Protocol

from confluent_kafka import Message, TopicPartition

PartitionsMoved = Callable[["Consumer", list[TopicPartition]], None]


class Consumer(Protocol):
    """A member of a group with cooperative assignment. All but the subscription raises KafkaException."""

    def subscribe(
        self, topics: list[str], /, *, on_assign: PartitionsMoved, on_revoke: PartitionsMoved, on_lost: PartitionsMoved
    ) -> None:
        """Join the group. The callbacks are called by `consume` and `close`, on their thread."""

    def consume(self, records_max: int, timeout_s: float, /) -> list[Message]:
        """The next records, and errors; that the end of a partition is reached is one of them, told once until there
        is more, or the partition is sought or resumed."""

    def incremental_assign(self, starts: list[TopicPartition], /) -> None:
        """Read these partitions too, from their offsets. What was paused when it went away still is."""

    def committed(self, partitions: list[TopicPartition], /, *, timeout: float) -> list[TopicPartition]:
        """Offset and metadata of each; OFFSET_INVALID where the group has committed nothing."""

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        """The same, with the error of each. Whether it has committed is not known when it raises for lack of time."""

    def get_watermark_offsets(self, partition: TopicPartition, /, *, timeout: float) -> tuple[int, int]:
        """Of the first record and after the last."""

    def seek(self, place: TopicPartition, /) -> None:
        """Read on from there."""

    def pause(self, partitions: list[TopicPartition], /) -> None:
        """Bring nothing of these."""

    def resume(self, partitions: list[TopicPartition], /) -> None:
        """Go on where they were."""

    def close(self) -> None:
        """Give everything back and leave the group."""
