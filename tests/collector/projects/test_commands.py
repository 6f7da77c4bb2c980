"""`python -m collector projects`."""

import json
from pathlib import Path

import pytest

from collector.projects import topic as projects_topic
from collector.projects.directory import Project
from collector.projects.record import project_record
from collector.projects.topic import ProjectsUnavailableError, read_projects
from docker.local.kafka import KafkaServer
from docker.local.process import free_port
from schemas.settings import Settings
from tests.collector.made import PROJECT, codec, is_uuid, project_fields
from tests.collector.running import Running, read_topic

NOW = 1_795_000_000_000


@pytest.fixture
def commands(tmp_path: Path, kafka_server: KafkaServer, topic_prefix: str) -> Running:
    """Topics and no process."""
    return Running(tmp_path / "collector", kafka_server.bootstrap, topic_prefix)


def test_a_project_added_can_be_shown_listed_changed_and_disabled(commands: Running) -> None:
    commands.prepare()
    key = commands.command(
        *(
            "projects",
            "add",
            "--name",
            "Shop",
            "--origin",
            "https://shop.example",
            "--origin",
            "https://www.shop.example",
        ),
        *("--settings", '{"conversion_events":["Order Completed"]}'),
    ).strip()
    assert len(key) >= 20
    shown = json.loads(commands.command("projects", "show", key))
    assert shown["name"] == "Shop"
    assert shown["allowed_origins"] == ["https://shop.example", "https://www.shop.example"]
    assert json.loads(shown["settings"]) == {"conversion_events": ["Order Completed"]}
    assert is_uuid(shown["project_id"])
    assert is_uuid(shown["tenant_id"])
    assert not shown["is_disabled"]
    assert key in commands.command("projects", "list")

    assert commands.command("projects", "add", "--name", "Shop 2", "--write-key", key).strip() == key
    changed = json.loads(commands.command("projects", "show", key))
    assert changed == shown | {"name": "Shop 2", "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > shown["updated_at"]

    commands.command("projects", "disable", key)
    assert json.loads(commands.command("projects", "show", key))["is_disabled"]
    commands.command("projects", "add", "--name", "[/red] Shop :smile:", "--write-key", key)
    renamed = json.loads(commands.command("projects", "show", key))
    assert (renamed["name"], renamed["is_disabled"]) == ("[/red] Shop :smile:", True)
    assert "[/red] Shop :smile:" in commands.command("projects", "list")
    assert "disabled" in commands.command("projects", "list")
    assert {stored.key for stored in read_topic(commands.settings, "projects")} == {
        key.encode(),
        commands.write_key.encode(),
    }


def test_an_unknown_key_is_named(commands: Running) -> None:
    commands.prepare()
    assert "no-such-key" in commands.command("projects", "show", "no-such-key", code=1)
    assert "no-such-key" in commands.command("projects", "disable", "no-such-key", code=1)


def test_a_missing_topic_names_the_command_that_makes_it(commands: Running) -> None:
    assert "python -m schemas apply" in commands.command("projects", "list", code=1)


def test_an_unreachable_kafka_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projects_topic, "_WAIT_S_MAX", 0.3)
    nowhere = Settings.model_validate({"kafka_bootstrap": f"127.0.0.1:{free_port()}"})
    with pytest.raises(ProjectsUnavailableError, match=nowhere.kafka_bootstrap):
        read_projects(nowhere, codec("projects"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"name": ""}, "--name"),
        ({"name": "n" * 101}, "--name"),
        ({"name": "n", "tenant_id": "t"}, "--tenant"),
        ({"name": "n", "settings": "[]"}, "--settings"),
        ({"name": "n", "settings": "{"}, "--settings"),
        ({"name": "n", "settings": '{"conversion_event": []}'}, "--settings: no such setting: 'conversion_event'"),
        ({"name": "n", "settings": '{"conversion_events": "Order Completed"}'}, "--settings: conversion_events"),
        ({"name": "n", "write_key": "a:b"}, "--write-key"),
        ({"name": "n", "write_key": "ä"}, "--write-key"),
        ({"name": "n", "write_key": "k" * 101}, "--write-key"),
    ],
)
def test_a_bad_option_names_itself(options: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        project_record(None, NOW, **options)  # type: ignore[arg-type]


def test_a_change_is_newer_than_what_it_changes_whatever_the_clock_says() -> None:
    assert project_record(PROJECT, 0, name="n")["updated_at"] == PROJECT.updated_at + 1
    assert project_record(PROJECT, NOW * 2, name="n")["updated_at"] == NOW * 2


def test_settings_of_another_release_do_not_keep_a_project_from_being_renamed_or_disabled() -> None:
    of_later = Project(project_fields(settings='{"sampling": 0.5}'))
    assert project_record(of_later, NOW, name="n")["settings"] == of_later.settings
    assert project_record(of_later, NOW, is_disabled=True)["is_disabled"]


def test_two_new_projects_have_nothing_in_common() -> None:
    first, second = (project_record(None, NOW, name="n") for _ in range(2))
    for field in ("project_id", "tenant_id", "write_key"):
        assert first[field] != second[field]


def test_no_write_key_that_is_made_up_can_be_taken_for_an_option() -> None:
    keys = {project_record(None, NOW, name="Shop")["write_key"] for _ in range(500)}
    assert len(keys) == 500
    assert all(key.isalnum() and key.isascii() for key in keys)
