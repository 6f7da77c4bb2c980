"""The topics and the changelogs of the workers' tables: what they are called, and for how long they keep what."""

from typing import Final

import pytest

from schemas.settings import Settings
from schemas.topics import FOR_EVER, STATE_TABLES, TOPICS, changelog_of, changelogs, every_topic, streams_group

SETTINGS: Final = Settings.model_validate({})


def test_no_two_topics_have_one_name() -> None:
    names = [topic.name for topic in every_topic(SETTINGS)]
    assert len(names) == len(set(names))


def test_states_are_those_of_topics_that_workers_read() -> None:
    assert {source for source in STATE_TABLES if "streams" not in TOPICS[source].consumers} == set()


def test_another_generation_has_another_group_and_other_changelogs() -> None:
    next_one = Settings.model_validate({"streams_generation": 2})
    assert streams_group(next_one) != streams_group(SETTINGS)
    names = {topic.name for settings in (SETTINGS, next_one) for topic in changelogs(settings)}
    assert len(names) == 2 * len(STATE_TABLES)
    assert {changelog_of(source, next_one) for source in STATE_TABLES} < names


@pytest.mark.parametrize("name", TOPICS)
def test_what_a_topic_forgets_is_said_by_a_setting(name: str) -> None:
    topic = TOPICS[name]
    kept_ms = int(topic.broker_config(SETTINGS)["retention.ms"])
    if topic.retention is None:
        assert kept_ms == FOR_EVER
        assert topic.cleanup == "compact"
    else:
        changed = Settings.model_validate({topic.retention: 3})
        assert topic.broker_config(changed)["retention.ms"] == str(3 * 86_400_000) != str(kept_ms)
