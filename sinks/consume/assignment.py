"""Which partitions this consumer owns: taking over where the last owner stopped, and handing over.

Cooperative assignment: partitions that stay keep their batch under way; only what moves is finished or abandoned. The
broker checks that a commit comes from a member of the group, not that the member owns the partition. So ownership is
kept here: a partition's holding is gone before its revocation is acknowledged, and commits are made from holdings, on
the thread on which revocations arrive.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from sinks.batching.batcher import Intake, Resumption
from sinks.batching.commit_metadata import Plan, decode
from sinks.consume.partition import Holding
from sinks.write.thread import Flight, Worker

log = structlog.get_logger()

T = TypeVar("T")
_ASK_S: Final = 10.0
_PATIENCE_S: Final = 60.0  # a broker that was restarted may take half of it
_ASK_AGAIN_S: Final = 0.5  # some refusals come at once


class Assignment:
    """The holdings of one consumer; `open_intake` makes the intake of a partition."""

    def __init__(
        self,
        consumer: Consumer,
        topic_name: str,
        open_intake: Callable[[int, Resumption], Intake],
        worker: Worker,
        clock: Callable[[], float],
        revoke_s_max: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.holdings: dict[int, Holding] = {}
        self.joined = False
        self._consumer = consumer
        self._topic_name = topic_name
        self._open_intake = open_intake
        self._worker = worker
        self._clock = clock
        self._revoke_s_max = revoke_s_max
        self._pause = pause
        self.on_landed: Callable[[Flight], None] = lambda _flight: None

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            [self._topic_name], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def commit(self, commits: Mapping[int, tuple[int, Plan]]) -> bool:
        """Whether Kafka has taken every one of partition → (offset, plan)."""
        offsets = [
            TopicPartition(self._topic_name, partition, offset, metadata=plan.encode())
            for partition, (offset, plan) in commits.items()
        ]
        try:
            results = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            log.warning("a commit failed", topic=self._topic_name, error=error.args[0].str())
            return False
        failed = {result.partition: result.error.str() for result in results if result.error is not None}
        for partition in commits.keys() - failed.keys():
            self.holdings[partition].committed = commits[partition]
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
            intake = self._open_intake(found.partition, resumption)
            self.holdings[found.partition] = Holding(found.partition, intake, resumption, self._clock())
            start = found.offset if found.offset >= 0 else OFFSET_BEGINNING
            starts.append(TopicPartition(self._topic_name, found.partition, start))
        log.info("partitions assigned", topic=self._topic_name, partitions=sorted(self.holdings))
        consumer.incremental_assign(starts)

    def _committed(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        def ask() -> list[TopicPartition]:
            found: list[TopicPartition] = self._consumer.committed(partitions, timeout=_ASK_S)
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
                log.warning(f"{what} are not to be had", topic=self._topic_name, error=error.args[0].str())
                if self._clock() >= give_up_at:
                    raise
                self._pause(_ASK_AGAIN_S)

    def _resumption(self, found: TopicPartition) -> Resumption:
        """Where to go on; without a plan of ours the table may hold anything up to the end of the log."""
        plan = decode(found.metadata) if found.offset >= 0 else None
        if plan is not None:
            return Resumption(found.offset, plan)
        place = TopicPartition(self._topic_name, found.partition)
        bounds: Callable[[], tuple[int, int]] = partial(self._consumer.get_watermark_offsets, place, timeout=_ASK_S)
        low, high = self._patiently(bounds, "the bounds of the log")
        return Resumption(found.offset if found.offset >= 0 else low, Plan(None, doubt_end=high), committed=False)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Finish what is under way if that is soon done, acknowledge what is written, let go."""
        leaving = [self.holdings[found.partition] for found in partitions if found.partition in self.holdings]
        give_up_at = self._clock() + self._revoke_s_max
        while any(holding.flight for holding in leaving) and (left := give_up_at - self._clock()) > 0:
            for flight in self._worker.landed(left):
                self.on_landed(flight)
        settled = {
            holding.partition: settlement for holding in leaving if (settlement := holding.settlement()) is not None
        }
        if settled:
            self.commit(settled)  # if this fails the next owner finds the batches in the table
        self._let_go(leaving)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Somebody else owns them already: nothing may be committed any more."""
        log.warning("partitions lost", topic=self._topic_name, partitions=[found.partition for found in partitions])
        self._let_go([self.holdings[found.partition] for found in partitions if found.partition in self.holdings])

    def _let_go(self, leaving: list[Holding]) -> None:
        for holding in leaving:
            if holding.flight is not None:
                holding.flight.abandoned.set()
            del self.holdings[holding.partition]
