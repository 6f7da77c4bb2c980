"""Whose a business number is."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.projects.directory import ProjectDirectory
from collector.projects.numbers import taken_numbers
from collector.projects.record import project_record, with_number
from schemas.project_settings import check_project_settings
from schemas.whatsapp_settings import NumberSettings
from tests.collector.made import PROJECT_ID, WRITE_KEY, directory_of, project_fields
from tests.collector.whatsapp.payloads import APP, NUMBER, OTHER_NUMBER, PHONE, whatsapp

OTHER_ID = "99999999-9999-4999-8999-999999999999"


def other(**changes: Any) -> dict[str, Any]:
    later = datetime(2026, 2, 1, tzinfo=UTC)
    fields = {"project_id": OTHER_ID, "write_key": "other", "settings": whatsapp(), "created_at": later}
    return project_fields(**(fields | changes))


def owner(directory: ProjectDirectory, number: str = NUMBER, app: str = APP) -> str | None:
    found = directory.numbers.find(app, number)
    return None if found is None else found.project.project_id


def test_a_number_follows_the_records_of_its_project() -> None:
    directory = directory_of(project_fields(settings=whatsapp()))
    assert owner(directory) == PROJECT_ID
    assert owner(directory, app="another") is None
    assert owner(directory, OTHER_NUMBER) is None
    directory.apply(WRITE_KEY, project_fields(settings=whatsapp(OTHER_NUMBER)))
    assert (owner(directory), owner(directory, OTHER_NUMBER)) == (None, PROJECT_ID)
    directory.apply(WRITE_KEY, project_fields(settings=whatsapp(OTHER_NUMBER), is_disabled=True))
    assert owner(directory, OTHER_NUMBER) is None
    directory.apply(WRITE_KEY, None)
    assert directory.numbers.owners(OTHER_NUMBER) == []


def test_settings_that_cannot_be_read_leave_the_former_ones() -> None:
    directory = directory_of(project_fields(settings=whatsapp()))
    directory.apply(WRITE_KEY, project_fields(settings='{"whatsapp": 7}'))
    assert owner(directory) == PROJECT_ID


@pytest.mark.parametrize("turn", [1, -1])
def test_a_later_project_takes_no_number_over_in_whatever_order_they_are_read(turn: int) -> None:
    records = [project_fields(settings=whatsapp()), other()][::turn]
    assert owner(directory_of(*records)) == PROJECT_ID


def test_the_command_refuses_a_number_that_another_enabled_project_has() -> None:
    directory = directory_of(project_fields(settings=whatsapp()))
    (line,) = taken_numbers(directory.numbers, OTHER_ID, whatsapp())
    assert PROJECT_ID in line
    assert NUMBER in line
    assert taken_numbers(directory.numbers, PROJECT_ID, whatsapp()) == []
    assert taken_numbers(directory.numbers, OTHER_ID, whatsapp(OTHER_NUMBER)) == []
    assert taken_numbers(directory.numbers, OTHER_ID, "{}") == []
    disabled = directory_of(project_fields(settings=whatsapp(), is_disabled=True))
    assert taken_numbers(disabled.numbers, OTHER_ID, whatsapp()) == []


def test_another_write_key_of_a_project_has_its_settings() -> None:
    directory = directory_of(project_fields(settings=whatsapp()), project_fields(write_key="second"))
    second = directory.by_key("second")
    assert second is not None
    settings = directory.numbers.of_project(second)
    assert settings is not None
    assert list(settings.numbers) == [NUMBER]


def test_a_number_is_added_to_what_the_settings_say() -> None:
    before = '{"conversion_events": ["Order Completed"]}'
    after = with_number(before, NUMBER, NumberSettings(PHONE, "agent"), [APP])
    again = with_number(after, OTHER_NUMBER, NumberSettings(PHONE, "bot"), [APP, "second"])
    settings = check_project_settings(again)
    assert settings.conversion_events == {"Order Completed"}
    assert settings.whatsapp is not None
    assert settings.whatsapp.apps == (APP, "second")
    assert {number: of.default_sender for number, of in settings.whatsapp.numbers.items()} == {
        NUMBER: "agent", OTHER_NUMBER: "bot",
    }  # fmt: skip
    record = project_record(None, 1, name="Shop", settings=again)
    assert json.loads(record["settings"]) == json.loads(again)
    with pytest.raises(ValueError, match="default_sender"):
        project_record(None, 1, name="Shop", settings=with_number(before, NUMBER, NumberSettings(PHONE, "nobody"), []))
