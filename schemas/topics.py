"""The topics: name, key, partitions, retention, producers and consumers.

`TOPICS` is in the order of the data's way; `changelogs` are those of the workers' tables. Names on the broker carry
`settings.topic_prefix`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.settings import MESSAGE_BYTES_MAX, Settings

FOR_EVER: Final = -1  # Kafka's retention.ms
_REPLICAS_FOR_TWO: Final = 3  # with two in all, the loss of one would stop the topic
_DAY_MS: Final = 24 * 3600 * 1000
# What a worker reads at its start: only closed segments are compacted, so they are closed every hour.
_OFTEN: Final = {"segment.ms": str(3600 * 1000)}

# The brokers' clock and not the collectors': it bounds what theirs may say (streams/events/bound_times.py), and tells a
# worker that catches up with signals from one that nobody has anything to tell.
_TAKEN_AT: Final = {"message.timestamp.type": "LogAppendTime"}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic and its schema, which is `schemas/avro/<name>.avsc`.

    partitions: None means `settings.partitions`. retention: the setting that says for how many days; None: for ever.
    """

    name: str
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    cleanup: str = "delete"
    retention: str | None = None
    partitions: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)

    def days(self, settings: Settings) -> int | None:
        """For how many days Kafka keeps a record, None: for ever."""
        return None if self.retention is None else int(getattr(settings, self.retention))

    def broker_config(self, settings: Settings) -> dict[str, str]:
        """Topic-level configuration as Kafka's admin API takes it."""
        days = self.days(settings)
        kept_ms = FOR_EVER if days is None else days * _DAY_MS
        config = {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(kept_ms),
            "max.message.bytes": str(MESSAGE_BYTES_MAX),
        }
        if "compact" in self.cleanup:
            # A paused worker may write an old state after the new owner did. Restoring keeps the larger offset of the
            # two, which needs both to be still there: no compaction for an hour.
            config["min.compaction.lag.ms"] = str(3600 * 1000)
        if settings.replication_factor >= _REPLICAS_FOR_TWO:
            # "Acknowledged" then means: two brokers have it, and one of them may burn.
            config["min.insync.replicas"] = "2"
        return config | dict(self.config)


TOPICS: Final[Mapping[str, Topic]] = {
    topic.name: topic
    for topic in (
        Topic("projects", "write_key", ("collector",), ("collector", "streams", "sinks"), "compact", partitions=1),
        Topic(
            "raw_events",
            "tenant_id/project_id/session key",
            ("collector",),
            ("streams",),
            "delete",
            "topic_events_days",
            config=_TAKEN_AT,
        ),
        Topic(
            "enriched_events",
            "that of its raw event, in the same partition number",
            ("streams",),
            ("sinks",),
            "delete",
            "topic_events_days",
        ),
        Topic("sessions", "tenant_id/session_id", ("streams",), ("sinks",), "compact,delete", "topic_sessions_days"),
        Topic(
            "identity_claims",
            "tenant_id/a/anonymous_id or tenant_id/h/token",
            ("streams",),
            ("streams",),
            "delete",
            "topic_events_days",
        ),
        Topic("identities", "tenant_id/anonymous_id/user_id", ("streams",), ("sinks",), "compact"),
        Topic("identity_changes", "tenant_id/anonymous_id/user_id/changed_at", ("streams",), ("sinks",), "compact"),
        Topic(
            "conversation_signals",
            "tenant_id/project_id/phone_number_id",
            ("streams",),
            ("streams",),
            "delete",
            "topic_events_days",
            config=_TAKEN_AT,
        ),
        Topic(
            "conversations",
            "tenant_id/conversation_id",
            ("streams",),
            ("sinks",),
            "compact,delete",
            "topic_sessions_days",
        ),
        Topic(
            "dead_letters",
            "tenant_id/project_id",
            ("collector", "streams", "sinks"),
            ("sinks",),
            "delete",
            "topic_dead_letters_days",
            partitions=4,
        ),
    )
}

# The workers' tables, by the topic whose partitions their states belong to.
STATE_TABLES: Final[Mapping[str, str]] = {
    "raw_events": "sessions",
    "identity_claims": "identities",
    "conversation_signals": "conversations",
}


def streams_group(settings: Settings) -> str:
    """The consumer group of the workers, without the prefix; their changelogs are named by it."""
    version = f"-v{settings.streams_generation}" if settings.streams_generation > 1 else ""
    return f"{settings.streams_app_id}{version}"


def changelog_of(source: str, settings: Settings) -> str:
    """The topic that holds the states of a source's partitions, in the same partition numbers, without the prefix."""
    return f"{streams_group(settings)}-{STATE_TABLES[source]}-changelog"


def changelogs(settings: Settings) -> list[Topic]:
    """The changelogs of this generation of workers. They have no Avro schema: keys and states as streams encodes them.

    Made with the other topics and not by the workers: a group that divides its partitions before the brokers have heard
    of a changelog would give out sources without their states, and a static member keeps what it was given.
    """
    return [
        Topic(changelog_of(source, settings), f"key of {source}", ("streams",), ("streams",), "compact", config=_OFTEN)
        for source in STATE_TABLES
    ]


def every_topic(settings: Settings) -> list[Topic]:
    """All that must exist on the broker."""
    return [*TOPICS.values(), *changelogs(settings)]
