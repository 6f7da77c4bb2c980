"""The topics: name, key, partitions, retention, producers and consumers.

`TOPICS` is in the order of the data's way. Names on the broker carry `settings.topic_prefix`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic and its schema, which is `schemas/avro/<name>.avsc`.

    partitions: None means `settings.partitions`; retention_ms: None means for ever.
    """

    name: str
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    cleanup: str = "delete"
    retention_ms: int | None = None
    partitions: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)

    def broker_config(self) -> dict[str, str]:
        """Topic-level configuration as Kafka's admin API takes it."""
        retention = -1 if self.retention_ms is None else self.retention_ms
        config = {"cleanup.policy": self.cleanup, "retention.ms": str(retention), "max.message.bytes": str(2 * 2**20)}
        if "compact" in self.cleanup:
            # A paused worker may write an old state after the new owner did. Restoring keeps the larger offset of the
            # two, which needs both to be still there: no compaction for an hour.
            config["min.compaction.lag.ms"] = str(3600 * 1000)
        return config | dict(self.config)


TOPICS: Final[Mapping[str, Topic]] = {
    topic.name: topic
    for topic in (
        Topic("projects", "write_key", ("collector",), ("collector", "streams", "sinks"), "compact", partitions=1),
        Topic("raw_events", "tenant_id/project_id/session key", ("collector",), ("streams",), "delete", 7 * _DAY_MS),
        Topic(
            "enriched_events",
            "that of its raw event, in the same partition number",
            ("streams",),
            ("sinks",),
            "delete",
            7 * _DAY_MS,
        ),
        Topic("sessions", "tenant_id/session_id", ("streams",), ("sinks",), "compact,delete", 30 * _DAY_MS),
        Topic(
            "identity_claims",
            "tenant_id/a/anonymous_id or tenant_id/h/token",
            ("streams",),
            ("streams",),
            "delete",
            7 * _DAY_MS,
        ),
        Topic("identities", "tenant_id/anonymous_id/user_id", ("streams",), ("sinks",), "compact"),
        Topic(
            "dead_letters",
            "tenant_id/project_id",
            ("collector", "streams", "sinks"),
            ("sinks",),
            "delete",
            30 * _DAY_MS,
            partitions=4,
        ),
    )
}
