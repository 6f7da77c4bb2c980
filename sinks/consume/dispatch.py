"""Fetched messages to the batchers of their partitions; what a fetch says besides records."""

from collections.abc import Callable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final

import numpy as np
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from sinks.batching.filter import PendingError
from sinks.consume.partition import PartitionState

log = structlog.get_logger()

_PARTITION_EOF: Final = KafkaError._PARTITION_EOF
_TIME: Final = itemgetter(1)  # of (kind, ms since 1970)


class Dispatcher:
    """Hands out the messages of one topic.

    gapless: no offset of the topic should be missing (no compaction, no transactions). Then a gap is looked into once,
    by seeking back, before it is believed: if it was the client's and not the log's, believing it would lose records.
    What is still missing then was deleted before it was read: `on_expired` is told how many.
    """

    def __init__(
        self,
        topic_name: str,
        states: Mapping[int, PartitionState],
        seek: Callable[[TopicPartition], None],
        gapless: bool,
        on_expired: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._topic_name = topic_name
        self._states = states
        self._seek = seek
        self._gapless = gapless
        self._on_expired = on_expired

    def dispatch(self, messages: list[Message], now: float) -> None:
        """Give each record to its batcher. Raises KafkaException when the consumer will never read again."""
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
            state = self._states.get(partition)
            if state is None or partition in sought or state.pending is not None:
                continue  # fetched before the partition was taken away, or before the seek
            records = list(run)
            offsets = list(map(Message.offset, records))
            position = state.batcher.position
            if self._looks_again(state, offsets[0], sought):
                continue
            self._expire(state, offsets[0])
            if offsets[0] < position:
                state.gap_end = 0
                log.warning("the topic was recreated", topic=self._topic_name, partition=partition, offset=offsets[0])
                state.batcher.restart(offsets[0], now)
            values, keys = list(map(Message.value, records)), list(map(Message.key, records))
            timestamps = np.fromiter(map(_TIME, map(Message.timestamp, records)), np.int64, len(records)).clip(0)
            try:
                state.batcher.add(offsets, values, keys, now, timestamps)
            except PendingError as error:
                state.pending = state.stopped_by = error
                sought.add(partition)  # the rest of the fetch comes again
            else:
                state.stopped_by = None

    def _looks_again(self, state: PartitionState, offset: int, sought: set[int]) -> bool:
        """Whether it seeks back, since records before `offset` are missing for the first time."""
        position = state.batcher.position
        if offset <= position or not self._gapless or state.doubted_gap == position:
            return False
        log.warning("offsets are missing: looking again", partition=state.partition, expected=position, got=offset)
        state.doubted_gap = position
        sought.add(state.partition)
        self._seek(TopicPartition(self._topic_name, state.partition, position))
        return True

    def _expire(self, state: PartitionState, offset: int) -> None:
        """Where every offset has a record, those between the position and `offset` are gone for good."""
        missing = offset - max(state.batcher.position, state.gap_end)
        if self._gapless and missing > 0:
            log.error("records were deleted before they were read", partition=state.partition, records=missing)
            state.gap_end = offset
            self._on_expired(missing)

    def _take_event(self, message: Message, sought: set[int], now: float) -> None:
        """The end of a partition, or an error."""
        error = message.error()
        if error.code() == _PARTITION_EOF:
            state = self._states.get(message.partition())
            if state is None or message.partition() in sought or state.pending is not None:
                return
            if not self._looks_again(state, message.offset(), sought):
                self._expire(state, message.offset())
                state.batcher.reached(message.offset(), now)
                state.stopped_by = None
        elif error.fatal() or error.code() == KafkaError._FATAL:
            # Such as a static member that the broker has replaced: this consumer will never read again.
            raise KafkaException(error)
        else:
            log.warning("Kafka says", topic=self._topic_name, error=error.str())
