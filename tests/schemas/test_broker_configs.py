"""What topics, producers and consumers ask of Kafka, pinned: the delivery promise rests on every line.

Whoever means a change writes it here too, and says why beside the setting.
"""

from typing import Final

from schemas.kafka import consumer_config, producer_config
from schemas.settings import Settings
from schemas.topics import every_topic

SETTINGS: Final = Settings.model_validate({"replication_factor": 3, "topic_prefix": "shop_"})
OF_ALL: Final = {"max.message.bytes": "2097152", "min.insync.replicas": "2"}
WEEK: Final = {"cleanup.policy": "delete", "retention.ms": "604800000"}
MONTH: Final = {"cleanup.policy": "delete", "retention.ms": "2592000000"}
# An old state may be written by a paused worker after the newer one: both stay for an hour, and a restore compares.
FOR_EVER: Final = {"cleanup.policy": "compact", "retention.ms": "-1", "min.compaction.lag.ms": "3600000"}
CHANGELOG: Final = FOR_EVER | {"segment.ms": "3600000"}


def test_topics_are_kept_and_compacted_as_pinned() -> None:
    found = {topic.name: topic.broker_config(SETTINGS) for topic in every_topic(SETTINGS)}
    pinned = {
        "projects": FOR_EVER,
        "raw_events": WEEK | {"message.timestamp.type": "LogAppendTime"},  # bounds what clients say of time
        "enriched_events": WEEK,
        "sessions": MONTH | {"cleanup.policy": "compact,delete", "min.compaction.lag.ms": "3600000"},
        "identity_claims": WEEK,
        "identities": FOR_EVER,
        "identity_changes": FOR_EVER,
        "conversation_signals": WEEK | {"message.timestamp.type": "LogAppendTime"},  # tells whether others wait
        "conversations": MONTH | {"cleanup.policy": "compact,delete", "min.compaction.lag.ms": "3600000"},
        "dead_letters": MONTH,
        "tally-streams-sessions-changelog": CHANGELOG,
        "tally-streams-identities-changelog": CHANGELOG,
        "tally-streams-conversations-changelog": CHANGELOG,
    }
    assert found == {name: config | OF_ALL for name, config in pinned.items()}


def test_what_a_producer_reports_as_delivered_is_on_every_replica_once_in_order_and_in_its_keys_partition() -> None:
    assert producer_config(SETTINGS) == {
        "bootstrap.servers": SETTINGS.kafka_bootstrap,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "partitioner": "murmur2_random",
        "message.max.bytes": 2_097_152,
    }


def test_a_consumer_commits_what_it_is_told_to_and_a_new_group_begins_at_the_beginning() -> None:
    assert consumer_config(SETTINGS, "sinks", group_instance_id="sinks-0", log_level=0) == {
        "bootstrap.servers": SETTINGS.kafka_bootstrap,
        "group.id": "shop_sinks",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.partition.eof": False,
        "group.instance.id": "sinks-0",
        "log_level": 0,
    }
