"""Fetched messages to the intakes of their partitions; what a fetch says besides records."""

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from sinks.holding import Holding

log = structlog.get_logger()

_PARTITION_EOF: Final = KafkaError._PARTITION_EOF


class Reception:
    """Sorts the messages of one topic.

    gapless: no offset of the topic should lack (no compaction, no transactions). Then a gap is looked into once, by
    seeking back, before it is believed: if it was the client's and not the log's, believing it would lose records.
    """

    def __init__(
        self,
        topic_name: str,
        holdings: Mapping[int, Holding],
        seek: Callable[[TopicPartition], None],
        gapless: bool,
    ) -> None:
        self._topic_name = topic_name
        self._holdings = holdings
        self._seek = seek
        self._gapless = gapless

    def take(self, messages: list[Message], now: float) -> None:
        """Give each record to its intake. Raises KafkaException when the consumer is beyond repair."""
        sought: set[int] = set()
        if not any(map(Message.error, messages)):
            return self._take_records(messages, sought, now)
        for is_event, run in groupby(messages, lambda message: message.error() is not None):
            if not is_event:
                self._take_records(list(run), sought, now)
                continue
            for message in run:
                self._take_event(message, sought, now)
        return None

    def _take_records(self, messages: list[Message], sought: set[int], now: float) -> None:
        for partition, run in groupby(messages, Message.partition):
            holding = self._holdings.get(partition)
            if holding is None or partition in sought:
                continue  # fetched before the partition was taken away, or before the seek
            records = list(run)
            offsets = list(map(Message.offset, records))
            position = holding.intake.position
            if offsets[0] > position and self._gapless and holding.doubted_gap != position:
                log.warning("offsets lack: looking again", partition=partition, expected=position, got=offsets[0])
                holding.doubted_gap = position
                sought.add(partition)
                self._seek(TopicPartition(self._topic_name, partition, position))
                continue
            if offsets[0] < position:
                log.warning("the topic begins anew", topic=self._topic_name, partition=partition, offset=offsets[0])
                holding.intake.restart(offsets[0], now)
            values, keys = list(map(Message.value, records)), list(map(Message.key, records))
            holding.intake.add(offsets, values, keys, now)

    def _take_event(self, message: Message, sought: set[int], now: float) -> None:
        """The end of a partition, or an error."""
        error = message.error()
        if error.code() == _PARTITION_EOF:
            holding = self._holdings.get(message.partition())
            if holding is not None and message.partition() not in sought:
                holding.intake.reached(message.offset(), now)
        elif error.fatal() or error.code() == KafkaError._FATAL:
            # Such as a static member that the broker has replaced: this consumer will never read again.
            raise KafkaException(error)
        else:
            log.warning("Kafka says", topic=self._topic_name, error=error.str())
