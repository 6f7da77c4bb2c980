"""Make the topics on the broker what `schemas.topics` says; safe to repeat, and says what it did."""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from schemas.apply.findings import ApplyError, Finding, UnreachableError, Verdict
from schemas.settings import PREFIX, Settings
from schemas.topics import FOR_EVER, Topic, every_topic

_REACH_S: Final = 10.0
_REQUEST_S: Final = 30.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Inspected:
    """A topic and how it stands.

    repairs: the configuration that falls short of the contract, as it should be. conflict: it has too few partitions,
    which nobody may mend silently.
    """

    topic: Topic
    name: str
    finding: Finding
    repairs: Mapping[str, str] = field(default_factory=dict)
    conflict: bool = False


def partitions(topic: Topic, settings: Settings) -> int:
    """How many partitions a topic has under these settings."""
    return topic.partitions or settings.partitions


def check_topics(settings: Settings) -> list[Finding]:
    """Compare the topics with the contract. Raises UnreachableError when Kafka is away."""
    return [inspected.finding for inspected in _inspect(_admin(settings), settings)]


def plan_topics(settings: Settings) -> list[Finding]:
    """What `apply_topics` would do now, doing nothing. Raises UnreachableError when Kafka is away."""
    return [_planned(inspected, settings) for inspected in _inspect(_admin(settings), settings)]


def apply_topics(settings: Settings) -> list[Finding]:
    """Create missing topics, and give the others what they lack. Raises UnreachableError when Kafka is away.

    What an operator made larger stays: records kept longer, more partitions, larger messages are notes.
    """
    admin = _admin(settings)
    findings = [_settle(admin, inspected, settings) for inspected in _inspect(admin, settings)]
    if any(finding.verdict is Verdict.CREATED for finding in findings):
        _wait_until_visible(admin, settings)
    return findings


def _wait_until_visible(admin: AdminClient, settings: Settings) -> None:
    """Return when the brokers tell of all topics: they answer a creation before the last of them has heard of it."""
    give_up_at = time.monotonic() + _REQUEST_S
    wanted = {settings.topic(topic.name) for topic in every_topic(settings)}
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
        raise UnreachableError(f"Kafka at {settings.kafka_bootstrap} cannot be reached: {_text(error)}") from None
    counts = {name: len(topic.partitions) for name, topic in existing.items()}
    for topic in every_topic(settings):
        name = settings.topic(topic.name)
        if name in existing:
            yield _inspect_one(admin, topic, name, _partitions_found(topic, counts, settings), settings)
        else:
            yield _Inspected(topic, name, Finding(Verdict.MISSING, f"topic {name}"))


def _partitions_found(topic: Topic, counts: Mapping[str, int], settings: Settings) -> tuple[Verdict, str]:
    """What the number of a topic's partitions means. It is never altered: keys would move away from their state."""
    found, wanted = counts[settings.topic(topic.name)], partitions(topic, settings)
    raw = counts.get(settings.topic("raw_events"), wanted)
    if topic.name == "enriched_events" and found < raw:
        return Verdict.DIFFERS, f"{found} partitions, raw_events has {raw}: streams writes to the same number; add them"
    if found < wanted:
        return (
            Verdict.DIFFERS,
            f"{found} partitions, settings say {wanted}; changing them takes a new streams_generation",
        )
    if found > wanted:
        advice = "" if topic.partitions else f": set {PREFIX}PARTITIONS={found}, which the workers' tables go by"
        return Verdict.NOTE, f"{found} partitions, settings say {wanted}{advice}"
    return Verdict.OK, f"{found} partitions, {topic.cleanup}"


def _inspect_one(
    admin: AdminClient, topic: Topic, name: str, counted: tuple[Verdict, str], settings: Settings
) -> _Inspected:
    verdict, counts = counted
    repairs, notes = compare_config(topic.broker_config(settings), _read_config(admin, name))
    lacking = [f"{key}={actual} should be {wanted}" for key, (actual, wanted) in repairs.items()]
    conflict = verdict is Verdict.DIFFERS
    if lacking:
        verdict = Verdict.DIFFERS
    elif notes and verdict is Verdict.OK:
        verdict = Verdict.NOTE
    finding = Finding(verdict, f"topic {name}", "; ".join((counts, *lacking, *notes)))
    return _Inspected(topic, name, finding, {key: wanted for key, (_, wanted) in repairs.items()}, conflict)


def compare_config(
    wanted: Mapping[str, str], actual: Mapping[str, str]
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Which entries fall short of the contract, as (actual, wanted) by name; and what an operator made larger."""
    repairs: dict[str, tuple[str, str]] = {}
    notes: list[str] = []
    for key, value in wanted.items():
        found = actual.get(key, "")
        if set(found.split(",")) == set(value.split(",")):
            continue
        if _keeps_more(key, found, value):
            notes.append(f"{key}={found}, more than {value}: left")
        else:
            repairs[key] = found, value
    return repairs, notes


def _keeps_more(key: str, found: str, wanted: str) -> bool:
    """Whether a value that differs promises all that the contract's does."""
    if key == "cleanup.policy":
        return (found, set(wanted.split(","))) == ("compact", {"compact", "delete"})
    if not re.fullmatch(r"-?\d+", found):
        return False
    if key == "retention.ms" and FOR_EVER in (int(found), int(wanted)):
        return int(found) == FOR_EVER
    return int(found) > int(wanted)


def _read_config(admin: AdminClient, name: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    try:
        config = admin.describe_configs([resource])[resource].result(_REQUEST_S)
    except KafkaException as error:
        raise UnreachableError(f"topic {name} cannot be described: {_text(error)}") from None
    return {key: str(entry.value) for key, entry in config.items()}


def _planned(inspected: _Inspected, settings: Settings) -> Finding:
    finding = inspected.finding
    if finding.verdict is Verdict.MISSING:
        config = ", ".join(f"{key}={value}" for key, value in inspected.topic.broker_config(settings).items())
        count = partitions(inspected.topic, settings)
        return Finding(Verdict.TO_CREATE, finding.subject, f"{count} partitions, {config}")
    if inspected.repairs:
        return Finding(Verdict.DIFFERS if inspected.conflict else Verdict.TO_ALTER, finding.subject, finding.detail)
    return finding


def _settle(admin: AdminClient, inspected: _Inspected, settings: Settings) -> Finding:
    if inspected.finding.verdict is Verdict.MISSING:
        return _create(admin, inspected, settings)
    if inspected.repairs:
        return _configure(admin, inspected)
    return inspected.finding


def _create(admin: AdminClient, inspected: _Inspected, settings: Settings) -> Finding:
    topic, name = inspected.topic, inspected.name
    count = partitions(topic, settings)
    new = NewTopic(name, count, settings.replication_factor, config=topic.broker_config(settings))
    try:
        admin.create_topics([new])[name].result(_REQUEST_S)
    except KafkaException as error:
        raise ApplyError(f"topic {name} cannot be created: {_text(error)}") from None
    return Finding(Verdict.CREATED, inspected.finding.subject, f"{count} partitions, {topic.cleanup}")


def _configure(admin: AdminClient, inspected: _Inspected) -> Finding:
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in inspected.repairs.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, inspected.name, incremental_configs=entries)
    try:
        admin.incremental_alter_configs([resource])[resource].result(_REQUEST_S)
    except KafkaException as error:
        raise ApplyError(f"topic {inspected.name} cannot be configured: {_text(error)}") from None
    verdict = Verdict.DIFFERS if inspected.conflict else Verdict.ALTERED
    return Finding(verdict, inspected.finding.subject, inspected.finding.detail)


def _text(error: KafkaException) -> str:
    text: str = error.args[0].str()
    return text
