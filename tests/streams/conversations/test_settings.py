"""What projects' settings say of business numbers."""

import json
from typing import Any

from streams.conversations.episodes import EpisodeRules
from streams.conversations.settings import BusinessNumbers


def record(project_id: str, **whatsapp: Any) -> dict[str, Any]:
    return {"project_id": project_id, "settings": json.dumps({"whatsapp": whatsapp})}


def number(**members: str) -> dict[str, str]:
    return {"phone": "12025550180", **members}


def test_rules_are_those_of_the_number_and_its_project() -> None:
    found = BusinessNumbers()
    numbers = {"1": number(default_sender="agent", first_state="bot_active"), "2": number()}
    found.apply("k1", record("p", numbers=numbers, inactivity_s=60, reopen_grace_s=5))
    assert found.rules("p", "1") == EpisodeRules(60_000, 5_000, "bot_active", "agent")
    assert found.rules("p", "2") == EpisodeRules(60_000, 5_000)
    assert found.rules("q", "1") == EpisodeRules()


def test_what_a_newer_release_may_write_is_the_default() -> None:
    found = BusinessNumbers()
    found.apply("k1", record("p", numbers={"1": number(default_sender="crowd", first_state="parked")}))
    assert found.rules("p", "1") == EpisodeRules()


def test_the_only_number_of_a_project_need_not_be_named() -> None:
    found = BusinessNumbers()
    assert found.only_number("p") == ""
    found.apply("k1", record("p", numbers={"1": number()}))
    assert found.only_number("p") == "1"
    found.apply("k2", record("p", numbers={"2": number()}))
    assert found.only_number("p") == ""
    assert set(found.by_project["p"].numbers) == {"1", "2"}
    found.apply("k1", None)
    assert found.only_number("p") == "2"
    before = found.by_project
    found.apply("k2", {"project_id": "p", "settings": ""})
    assert found.by_project == {}
    assert set(before) == {"p"}  # whoever has taken it keeps it
