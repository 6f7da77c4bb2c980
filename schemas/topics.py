"""The topics: name, key, partitions, retention, producers and consumers.

`TOPICS` is in the order of the data's way. Names on the broker carry `settings.topic_prefix`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.settings import MESSAGE_BYTES_MAX, Settings

FOR_EVER: Final = -1  # Kafka's retention.ms
_DAY_MS: Final = 24 * 3600 * 1000


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
