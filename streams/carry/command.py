"""`python -m streams carry`.

    checks, all states read ─▶ states, a partition at a time ─▶ durable on the changelogs of the new generation
                            ─▶ its group's commits

Whatever can be refused beforehand is, before anything is written: a state whose offset says nothing of the topic makes
whoever restores it drop that topic's records. The commits come last and all at once: before them nothing has happened
for the new generation, and the command may be given again; with them it starts where the former one ended.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Final

import typer
from confluent_kafka import KafkaException

from schemas import exits
from schemas.apply.findings import UnreachableError
from schemas.codec import Codec
from schemas.kafka import producer_config
from schemas.registry import open_ids
from schemas.settings import Settings
from schemas.topics import STATE_TABLES, changelog_of
from streams.carry.kafka import Kafka, last_value
from streams.carry.moves import Moves, RefusedError, by_target, newest, stale, unsettled
from streams.runtime.newest import takes_back
from streams.runtime.operator import Outgoing
from streams.runtime.publisher import KafkaPublisher, Publisher, PublishError

REFUSED: Final = 1

_SINCE_EVER: Final = frozenset(("raw_events", "identity_claims"))


def carry(
    from_generation: Annotated[
        int, typer.Option(help="the generation whose states are carried to that of the settings")
    ],
    dry_run: Annotated[bool, typer.Option(help="check everything and count, write nothing")] = False,
) -> None:
    """Give a new generation what the former one remembers: states, and where to go on.

    First stop all workers by SIGTERM, raise TALLY_STREAMS_GENERATION and run `python -m schemas apply`. May be given
    again, also after it was interrupted. Exit codes: 0 carried (now or before), 1 refused, nothing is carried, 2 wrong
    options, 69 Kafka is away.
    """
    settings = exits.settings_or_exit()
    if not 0 < from_generation < settings.streams_generation:
        typer.echo(
            f"--from-generation must be from 1 to {settings.streams_generation - 1}: "
            f"TALLY_STREAMS_GENERATION is {settings.streams_generation}",
            err=True,
        )
        raise typer.Exit(exits.SETTINGS)
    former = settings.model_copy(update={"streams_generation": from_generation})
    kafka = Kafka(settings)
    try:
        Carrying(kafka, lambda: KafkaPublisher(producer_config(settings)), former, settings, dry_run, typer.echo).run()
    except RefusedError as error:
        typer.echo(f"refused: {error}", err=True)
        raise typer.Exit(REFUSED) from None
    except (KafkaException, UnreachableError, PublishError) as error:
        typer.echo(f"Kafka at {settings.kafka_bootstrap}: {error}", err=True)
        raise typer.Exit(exits.UNREACHABLE) from None
    finally:
        kafka.close()


class Carrying:
    """One run of the command. Holds the states of one partition at a time."""

    def __init__(
        self,
        kafka: Kafka,
        publisher: Callable[[], Publisher],
        former: Settings,
        settings: Settings,
        dry_run: bool,
        say: Callable[[str], None],
    ) -> None:
        self._kafka = kafka
        self._open_publisher = publisher
        self._former = former
        self._settings = settings
        self._dry_run = dry_run
        self._say = say

    def run(self) -> None:
        """Raises RefusedError."""
        self._require_no_workers()
        moves = {source: self._moves(source) for source in STATE_TABLES if self._was_there(source)}
        starts = self._committed(self._former, moves)
        present = self._committed(self._settings, moves)
        if starts and present == starts:
            self._say("carried before: the new generation starts where the former one ended")
            return
        # Some of them are what is left of commits that Kafka took in part.
        if not present.items() <= starts.items():
            raise RefusedError(f"generation {self._settings.streams_generation} has worked already")
        try:
            count = self._carry_all(moves, starts)
        except RefusedError as error:
            if not (self._dry_run or present):
                self._leave_nothing(moves, error)
            raise
        if self._dry_run:
            self._say("dry run: nothing was written")
            return
        self._kafka.commit(self._settings, starts)
        self._say(f"carried {count:,} states; start the workers of the new generation")

    def _carry_all(self, moves: Mapping[str, Moves], starts: Mapping[tuple[str, int], int]) -> int:
        """How many states were made durable. Raises RefusedError, before the first one where that can be known."""
        if not starts:
            raise RefusedError(f"generation {self._former.streams_generation} has committed nothing")
        self._require_their_topics(starts)
        self._require_clean_end(starts)
        for source, of_source in moves.items():
            self._require_no_strays(source, of_source, starts)
        counts = {place: count for source in moves for place, count in self._placed(source, moves[source]).items()}
        if problems := list(unsettled(starts, counts)):
            raise RefusedError("; ".join(problems))
        if self._dry_run:
            return 0
        count = sum(self._carry(source, of_source) for source, of_source in moves.items())
        self._require_no_workers()
        if self._committed(self._former, moves) != starts:
            raise RefusedError("the former generation has gone on meanwhile; stop its workers and try again")
        return count

    def _leave_nothing(self, moves: Mapping[str, Moves], refused: RefusedError) -> None:
        """Take back what this run or an interrupted one has written. Raises RefusedError when that can't be done."""
        if self._kafka.members(self._settings):
            raise RefusedError(
                f"{refused}; the new generation's workers know states that were written already, so nobody may take "
                "them back: stop them, and carry to another generation"
            ) from refused
        for source, of_source in moves.items():
            changelog = changelog_of(source, self._settings)
            for partition in range(of_source.after):
                self._take_back(changelog, partition, self._kafka.bounds(changelog, partition)[1])

    def _was_there(self, source: str) -> bool:
        """Whether the former generation may have states of a source: a release before it had a table less."""
        changelog = changelog_of(source, self._former)
        return source in _SINCE_EVER or self._kafka.partitions(changelog) > 0

    def _require_no_workers(self) -> None:
        for settings in (self._former, self._settings):
            if count := self._kafka.members(settings):
                raise RefusedError(
                    f"generation {settings.streams_generation} has {count} workers; stop them (one that was killed, "
                    "or has an instance id, leaves its group after 15 s)"
                )

    def _moves(self, source: str) -> Moves:
        """Raises RefusedError when a topic is missing, or their partitions do not fit together."""
        found = {
            topic: self._kafka.partitions(topic)
            for topic in (changelog_of(source, self._former), changelog_of(source, self._settings), source)
        }
        before, after, of_source = found.values()
        if not before or after != of_source or of_source != self._settings.partitions or before > after:
            told = ", ".join(f"{topic} has {count}" for topic, count in found.items())
            raise RefusedError(
                f"partitions: {told}, TALLY_PARTITIONS is {self._settings.partitions}; all but the first must be the "
                "same, and not fewer than the first (`python -m schemas apply` makes the new changelogs)"
            )
        return Moves(before, after)

    def _committed(self, settings: Settings, moves: Mapping[str, Moves]) -> dict[tuple[str, int], int]:
        return self._kafka.committed(settings, {source: of_source.after for source, of_source in moves.items()})

    def _require_their_topics(self, starts: Mapping[tuple[str, int], int]) -> None:
        for (source, partition), start in starts.items():
            _, end = self._kafka.bounds(source, partition)
            if start > end:
                raise RefusedError(
                    f"{source}/{partition} ends at {end}, before the commit {start}: {source} was deleted and made anew"
                )

    def _require_clean_end(self, starts: Mapping[tuple[str, int], int]) -> None:
        """A worker that was killed may have published what it has not committed: the next one would do it again, in
        another generation, and no sink could tell that it is a repeat."""
        generation = self._former.streams_generation
        for partition in range(self._kafka.partitions("enriched_events")):
            if (value := last_value(self._kafka, "enriched_events", partition)) is None:
                continue
            row, start = self._codec.decode(value), starts.get(("raw_events", partition), 0)
            if row["source_generation"] == generation and row["source_offset"] >= start:
                raise RefusedError(
                    f"enriched_events/{partition} has events for which raw_events/{partition} is not committed: a "
                    f"worker was killed. Start one of generation {generation}, and stop it by SIGTERM once it has "
                    "caught up"
                )

    def _require_no_strays(self, source: str, moves: Moves, starts: Mapping[tuple[str, int], int]) -> None:
        for partition in range(moves.before if moves.is_grown else 0):
            start = starts.get((source, partition), 0)
            strays = sum(moves.is_stray(one.key, partition) for one in self._kafka.read(source, partition, start))
            if strays:
                raise RefusedError(
                    f"{strays} records wait in {source}/{partition} whose keys have another partition by now. Workers "
                    f"of generation {self._former.streams_generation} must process them first, with its number of "
                    "partitions and the collectors stopped"
                )

    def _placed(self, source: str, moves: Moves) -> dict[tuple[str, int], int]:
        """How many states each partition has. Raises RefusedError for one that has no place; writes nothing."""
        changelog = changelog_of(source, self._former)
        counts: dict[tuple[str, int], int] = {}
        for partition in range(moves.before):
            states = newest(self._kafka.read(changelog, partition))
            stay = len(by_target(states, partition, moves).get(partition, ()))
            counts[source, partition] = len(states)
            told = f"{len(states):,} states, {len(states) - stay:,} of them to other partitions"
            self._say(f"{changelog}/{partition}: {told}")
        return counts

    def _carry(self, source: str, moves: Moves) -> int:
        """How many states were made durable. Raises RefusedError for one that has come meanwhile and has no place."""
        before, after = changelog_of(source, self._former), changelog_of(source, self._settings)
        began = {partition: self._kafka.bounds(after, partition)[1] for partition in range(moves.after)}
        count = 0
        for partition in range(moves.before):
            states = newest(self._kafka.read(before, partition))
            for target, pairs in by_target(states, partition, moves).items():
                self._write(after, target, [{"key": key, "value": value} for key, value in pairs])
            count += len(states)
        for partition, since in began.items():
            self._take_back(after, partition, since)
        return count

    def _take_back(self, changelog: str, partition: int, since: int) -> None:
        """End all states of a changelog that were not written since an offset."""
        if since == 0:
            return
        gone = stale(self._kafka.read(changelog, partition), since)
        name = self._settings.topic(changelog)
        for key, applied in gone.items():
            tombstone: Outgoing = {"key": key, "value": None, "headers": takes_back(applied)}
            self._publisher.publish_one(name, tombstone, partition)
        asyncio.run(self._publisher.flush())

    def _write(self, changelog: str, partition: int, records: list[Outgoing]) -> None:
        """Raises PublishError when they are not durable."""
        self._publisher.publish(self._settings.topic(changelog), records, partition)
        asyncio.run(self._publisher.flush())

    @cached_property
    def _publisher(self) -> Publisher:
        return self._open_publisher()

    @cached_property
    def _codec(self) -> Codec:
        return Codec("enriched_events", open_ids(self._settings.schema_registry_url, self._settings.topic_prefix))
