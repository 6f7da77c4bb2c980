"""Fetched messages to the intakes of their partitions; what a fetch says besides records."""

from collections.abc import Callable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final

import numpy as np
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from sinks.batching.filter import PendingError
from sinks.consume.partition import Holding

log = structlog.get_logger()

_PARTITION_EOF: Final = KafkaError._PARTITION_EOF
_TIME: Final = itemgetter(1)  # of (kind, ms since 1970)


class Reception:
    """Sorts the messages of one topic.

    gapless: no offset of the topic should lack (no compaction, no transactions). Then a gap is looked into once, by
    seeking back, before it is believed: if it was the client's and not the log's, believing it would lose records.
    What then still lacks was deleted before it was read: `on_expired` is told how many.
    """

    def __init__(
        self,
        topic_name: str,
        holdings: Mapping[int, Holding],
        seek: Callable[[TopicPartition], None],
        gapless: bool,
        on_expired: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._topic_name = topic_name
        self._holdings = holdings
        self._seek = seek
        self._gapless = gapless
        self._on_expired = on_expired

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
            if holding is None or partition in sought or holding.pending is not None:
                continue  # fetched before the partition was taken away, or before the seek
            records = list(run)
            offsets = list(map(Message.offset, records))
            position = holding.intake.position
            if self._looks_again(holding, offsets[0], sought):
                continue
            self._expire(holding, offsets[0])
            if offsets[0] < position:
                holding.gap_end = 0
                log.warning("the topic begins anew", topic=self._topic_name, partition=partition, offset=offsets[0])
                holding.intake.restart(offsets[0], now)
            values, keys = list(map(Message.value, records)), list(map(Message.key, records))
            timestamps = np.fromiter(map(_TIME, map(Message.timestamp, records)), np.int64, len(records)).clip(0)
            try:
                holding.intake.add(offsets, values, keys, now, timestamps)
            except PendingError as error:
                holding.pending = holding.stopped_by = error
                sought.add(partition)  # the rest of the fetch comes again
            else:
                holding.stopped_by = None

    def _looks_again(self, holding: Holding, offset: int, sought: set[int]) -> bool:
        """Whether it seeks back, since records before `offset` lack for the first time."""
        position = holding.intake.position
        if offset <= position or not self._gapless or holding.doubted_gap == position:
            return False
        log.warning("offsets lack: looking again", partition=holding.partition, expected=position, got=offset)
        holding.doubted_gap = position
        sought.add(holding.partition)
        self._seek(TopicPartition(self._topic_name, holding.partition, position))
        return True

    def _expire(self, holding: Holding, offset: int) -> None:
        """Where every offset has a record, those between the position and `offset` are gone for good."""
        missing = offset - max(holding.intake.position, holding.gap_end)
        if self._gapless and missing > 0:
            log.error("records were deleted before they were read", partition=holding.partition, records=missing)
            holding.gap_end = offset
            self._on_expired(missing)

    def _take_event(self, message: Message, sought: set[int], now: float) -> None:
        """The end of a partition, or an error."""
        error = message.error()
        if error.code() == _PARTITION_EOF:
            holding = self._holdings.get(message.partition())
            if holding is None or message.partition() in sought or holding.pending is not None:
                return
            if not self._looks_again(holding, message.offset(), sought):
                self._expire(holding, message.offset())
                holding.intake.reached(message.offset(), now)
                holding.stopped_by = None
        elif error.fatal() or error.code() == KafkaError._FATAL:
            # Such as a static member that the broker has replaced: this consumer will never read again.
            raise KafkaException(error)
        else:
            log.warning("Kafka says", topic=self._topic_name, error=error.str())
