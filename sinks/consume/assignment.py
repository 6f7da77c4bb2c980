"""Which partitions this consumer owns: taking over where the last owner stopped, and handing over.

Cooperative assignment: partitions that stay keep their batch under way; only what moves is finished or abandoned. The
broker checks that a commit comes from a member of the group, not that the member owns the partition. So ownership is
kept here: a partition's state is gone before its revocation is acknowledged, and commits are made from these states,
on the thread on which revocations arrive.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from sinks.batching.batcher import Batcher, Resumption
from sinks.batching.commit_metadata import CommitMetadata, decode
from sinks.consume.consumer import Consumer
from sinks.consume.partition import PartitionState
from sinks.write.thread import InFlightWrite, InFlightWrites

log = structlog.get_logger()

T = TypeVar("T")
_ASK_S: Final = 10.0
_PATIENCE_S: Final = 60.0  # a broker that was restarted may take half of it
_ASK_AGAIN_S: Final = 0.5  # some refusals come at once


class Assignment:
    """The partitions of one consumer, a state each; `open_batcher` makes the batcher of a partition."""

    def __init__(
        self,
        consumer: Consumer,
        topic_name: str,
        open_batcher: Callable[[int, Resumption], Batcher],
        write_thread: InFlightWrites,
        clock: Callable[[], float],
        revoke_s_max: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.states: dict[int, PartitionState] = {}
        self.joined = False
        self._consumer = consumer
        self._topic_name = topic_name
        self._open_batcher = open_batcher
        self._write_thread = write_thread
        self._clock = clock
        self._revoke_s_max = revoke_s_max
        self._pause = pause
        self.on_finished: Callable[[InFlightWrite], None] = lambda _write: None

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            [self._topic_name], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def commit(self, commits: Mapping[int, tuple[int, CommitMetadata]]) -> bool:
        """Whether Kafka has taken every one of partition → (offset, metadata)."""
        offsets = [
            TopicPartition(self._topic_name, partition, offset, metadata=metadata.encode())
            for partition, (offset, metadata) in commits.items()
        ]
        try:
            results = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            log.warning("a commit failed", topic=self._topic_name, error=error.args[0].str())
            return False
        failed = {result.partition: result.error.str() for result in results if result.error is not None}
        for partition in commits.keys() - failed.keys():
            self.states[partition].committed = commits[partition]
        if failed:
            log.warning("a commit failed", topic=self._topic_name, partitions=failed)
        return not failed

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        if not partitions:
            return
        starts = []
        for found in self._committed(partitions):
            resumption = self._resumption(found)
            batcher = self._open_batcher(found.partition, resumption)
            self.states[found.partition] = PartitionState(found.partition, batcher, resumption, self._clock())
            start = found.offset if found.offset >= 0 else OFFSET_BEGINNING
            starts.append(TopicPartition(self._topic_name, found.partition, start))
        log.info("partitions assigned", topic=self._topic_name, partitions=sorted(self.states))
        consumer.incremental_assign(starts)
        consumer.resume(starts)  # librdkafka keeps those paused that went away paused

    def _committed(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        def ask() -> list[TopicPartition]:
            found = self._consumer.committed(partitions, timeout=_ASK_S)
            for answer in found:
                if answer.error is not None:
                    raise KafkaException(answer.error)
            return found

        return self._patiently(ask, "the committed offsets")

    def _patiently(self, ask: Callable[[], T], what: str) -> T:
        """Ask until Kafka answers; a broker that restarts is no reason to end. Raises KafkaException after a minute."""
        give_up_at = self._clock() + _PATIENCE_S
        while True:
            try:
                return ask()
            except KafkaException as error:
                log.warning(f"{what} cannot be read", topic=self._topic_name, error=error.args[0].str())
                if self._clock() >= give_up_at:
                    raise
                self._pause(_ASK_AGAIN_S)

    def _resumption(self, found: TopicPartition) -> Resumption:
        """Where to go on; without metadata of ours the table may hold anything up to the end of the log."""
        metadata = decode(found.metadata) if found.offset >= 0 else None
        if metadata is not None:
            return Resumption(found.offset, metadata)
        place = TopicPartition(self._topic_name, found.partition)
        bounds: Callable[[], tuple[int, int]] = partial(self._consumer.get_watermark_offsets, place, timeout=_ASK_S)
        low, high = self._patiently(bounds, "the bounds of the log")
        return Resumption(
            found.offset if found.offset >= 0 else low, CommitMetadata(None, doubt_end=high), committed=False
        )

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Finish what is under way if that is soon done, acknowledge what is written, let go."""
        leaving = [self.states[found.partition] for found in partitions if found.partition in self.states]
        give_up_at = self._clock() + self._revoke_s_max
        while any(state.in_flight for state in leaving) and (left := give_up_at - self._clock()) > 0:
            for write in self._write_thread.finished(left):
                self.on_finished(write)
        written = {state.partition: commit for state in leaving if (commit := state.acknowledgement()) is not None}
        if written:
            self.commit(written)  # if this fails the next owner finds the batches in the table
        self._let_go(leaving)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Somebody else owns them already: nothing may be committed any more."""
        log.warning("partitions lost", topic=self._topic_name, partitions=[found.partition for found in partitions])
        self._let_go([self.states[found.partition] for found in partitions if found.partition in self.states])

    def _let_go(self, leaving: list[PartitionState]) -> None:
        for state in leaving:
            if state.in_flight is not None:
                state.in_flight.abandoned.set()
            del self.states[state.partition]
