"""Make the topics on the broker what `schemas.topics` says; safe to repeat, and says what it did."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from schemas.findings import ApplyError, Finding, Verdict
from schemas.settings import Settings
from schemas.topics import TOPICS, Topic

_REACH_S: Final = 10.0
_REQUEST_S: Final = 30.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Inspected:
    """A topic and how it stands. `repairable`: what differs is its configuration, which may be set at any time."""

    topic: Topic
    name: str
    finding: Finding
    repairable: bool = False


def partitions(topic: Topic, settings: Settings) -> int:
    """How many partitions a topic has under these settings."""
    return topic.partitions or settings.partitions


def check_topics(settings: Settings) -> list[Finding]:
    """Compare the topics with the contract. Raises ApplyError when Kafka is away."""
    return [inspected.finding for inspected in _inspect(_admin(settings), settings)]


def apply_topics(settings: Settings) -> list[Finding]:
    """Create missing topics and set the configuration of the others. Raises ApplyError when Kafka is away."""
    admin = _admin(settings)
    findings = [_settle(admin, inspected, settings) for inspected in _inspect(admin, settings)]
    if any(finding.verdict is Verdict.CREATED for finding in findings):
        _wait_until_visible(admin, settings)
    return findings


def _wait_until_visible(admin: AdminClient, settings: Settings) -> None:
    """Return when the brokers tell of all topics: they answer a creation before the last of them has heard of it."""
    give_up_at = time.monotonic() + _REQUEST_S
    wanted = {settings.topic(name) for name in TOPICS}
    while time.monotonic() < give_up_at:
        if wanted <= admin.list_topics(timeout=_REACH_S).topics.keys():
            return
        time.sleep(_POLL_S)


def _admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})


def _inspect(admin: AdminClient, settings: Settings) -> Iterator[_Inspected]:
    try:
        existing = admin.list_topics(timeout=_REACH_S).topics
    except KafkaException as error:
        raise ApplyError(f"Kafka at {settings.kafka_bootstrap} cannot be reached: {_text(error)}") from None
    for topic in TOPICS.values():
        name = settings.topic(topic.name)
        if name in existing:
            yield _inspect_one(admin, topic, name, len(existing[name].partitions), partitions(topic, settings))
        else:
            yield _Inspected(topic, name, Finding(Verdict.MISSING, f"topic {name}"))


def _inspect_one(admin: AdminClient, topic: Topic, name: str, found: int, wanted: int) -> _Inspected:
    subject = f"topic {name}"
    if found != wanted:
        # Never altered: more partitions would move keys away from their state.
        detail = f"{found} partitions, settings say {wanted}; changing them takes a new streams_generation"
        return _Inspected(topic, name, Finding(Verdict.DIFFERS, subject, detail))
    if differences := _config_differences(admin, name, topic):
        return _Inspected(topic, name, Finding(Verdict.DIFFERS, subject, ", ".join(differences)), repairable=True)
    return _Inspected(topic, name, Finding(Verdict.OK, subject, f"{wanted} partitions, {topic.cleanup}"))


def _config_differences(admin: AdminClient, name: str, topic: Topic) -> list[str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    try:
        config = admin.describe_configs([resource])[resource].result(_REQUEST_S)
    except KafkaException as error:
        raise ApplyError(f"topic {name} cannot be described: {_text(error)}") from None
    return [
        f"{key}={config[key].value} should be {value}"
        for key, value in topic.broker_config().items()
        if set(str(config[key].value).split(",")) != set(value.split(","))
    ]


def _settle(admin: AdminClient, inspected: _Inspected, settings: Settings) -> Finding:
    if inspected.finding.verdict is Verdict.MISSING:
        return _create(admin, inspected, settings)
    if inspected.repairable:
        return _configure(admin, inspected)
    return inspected.finding


def _create(admin: AdminClient, inspected: _Inspected, settings: Settings) -> Finding:
    topic, name = inspected.topic, inspected.name
    count = partitions(topic, settings)
    new = NewTopic(name, count, settings.replication_factor, config=topic.broker_config())
    try:
        admin.create_topics([new])[name].result(_REQUEST_S)
    except KafkaException as error:
        raise ApplyError(f"topic {name} cannot be created: {_text(error)}") from None
    return Finding(Verdict.CREATED, inspected.finding.subject, f"{count} partitions, {topic.cleanup}")


def _configure(admin: AdminClient, inspected: _Inspected) -> Finding:
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in inspected.topic.broker_config().items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, inspected.name, incremental_configs=entries)
    try:
        admin.incremental_alter_configs([resource])[resource].result(_REQUEST_S)
    except KafkaException as error:
        raise ApplyError(f"topic {inspected.name} cannot be configured: {_text(error)}") from None
    return Finding(Verdict.ALTERED, inspected.finding.subject, inspected.finding.detail)


def _text(error: KafkaException) -> str:
    text: str = error.args[0].str()
    return text
