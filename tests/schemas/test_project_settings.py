"""The settings of a project: what is read of them, and what may be written."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.project_settings import FIELDS, ByProject, ProjectSettings, check_project_settings, read_project_settings
from schemas.projects_follower import Together

NAMES = st.frozensets(st.text(min_size=1, max_size=200), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(sorted(FIELDS)), inner),
    max_leaves=12,
)


def accepted(parse: Callable[[str], ProjectSettings], text: str) -> ProjectSettings | None:
    """None for what is refused; any other exception fails the test."""
    try:
        return parse(text)
    except ValueError:
        return None


@given(NAMES)
def test_what_was_written_is_read(names: frozenset[str]) -> None:
    text = json.dumps({"conversion_events": sorted(names), "placeholder_ids": sorted(names)})
    assert read_project_settings(text) == check_project_settings(text) == ProjectSettings(names, names)


@given(
    JSON | st.tuples(st.sampled_from(sorted(FIELDS)), st.text() | st.lists(st.text())).map(lambda pair: dict([pair]))
)
def test_whatever_may_be_written_can_be_read_and_is_the_same(value: Any) -> None:
    text = json.dumps(value)
    checked = accepted(check_project_settings, text)
    assert checked is None or checked == read_project_settings(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    accepted(check_project_settings, text)
    accepted(read_project_settings, text)


@given(NAMES, st.text().filter(lambda name: name not in FIELDS), JSON)
def test_readers_pass_over_settings_they_do_not_know_and_the_command_names_them(
    names: frozenset[str], unknown: str, value: Any
) -> None:
    text = json.dumps({"conversion_events": sorted(names), unknown: value})
    assert read_project_settings(text) == ProjectSettings(names)
    with pytest.raises(ValueError, match="no such setting") as raised:
        check_project_settings(text)
    assert repr(unknown) in str(raised.value)


@pytest.mark.parametrize("text", ["", "{}"])
def test_no_settings_are_the_defaults(text: str) -> None:
    assert read_project_settings(text) == ProjectSettings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[]", "not a JSON object"),
        ("{", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ('{"conversion_events": "Order Completed"}', "conversion_events"),
        ('{"conversion_events": null}', "conversion_events"),
        ('{"conversion_events": ["Order Completed", 7]}', "conversion_events"),
        ('{"placeholder_ids": "no-user"}', "placeholder_ids"),
        ('{"placeholder_ids": [0]}', "placeholder_ids"),
    ],
)
def test_what_is_not_as_it_should_be_is_named(text: str, named: str) -> None:
    for parse in (read_project_settings, check_project_settings):
        with pytest.raises(ValueError, match=named):
            parse(text)


@pytest.mark.parametrize("names", [[""], ["n" * 501], [str(number) for number in range(1_001)]])
def test_what_is_written_has_bounds_and_what_stands_already_does_not(names: list[str]) -> None:
    text = json.dumps({"conversion_events": names})
    assert read_project_settings(text).conversion_events == frozenset(names)
    with pytest.raises(ValueError, match="conversion_events"):
        check_project_settings(text)


@pytest.mark.parametrize("ids", [[""], ["i" * 201], [str(number) for number in range(1_001)]])
def test_placeholders_that_are_written_have_bounds(ids: list[str]) -> None:
    text = json.dumps({"placeholder_ids": ids})
    assert read_project_settings(text).placeholder_ids == frozenset(ids)
    with pytest.raises(ValueError, match="placeholder_ids"):
        check_project_settings(text)


def test_a_setting_of_several_write_keys_adds_up_and_goes_with_them() -> None:
    found = ByProject(ProjectSettings.placeholder_words)
    for write_key, ids in (("k1", ["No-User"]), ("k2", ["nobody"])):
        found.apply(write_key, {"project_id": "p", "settings": json.dumps({"placeholder_ids": ids})})
    assert found.by_project == {"p": {"no-user", "nobody"}}
    found.apply("k1", {"project_id": "p", "settings": ""})
    assert found.by_project == {"p": {"nobody"}}
    found.apply("k2", None)
    assert found.by_project == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("k1", "k2", "k3")),
            st.none() | st.tuples(st.sampled_from("pq"), st.frozensets(st.sampled_from("abc"))),
        )
    )
)
def test_a_setting_is_that_of_the_last_record_of_each_write_key(
    history: list[tuple[str, tuple[str, frozenset[str]] | None]],
) -> None:
    found = ByProject(ProjectSettings.placeholder_words)
    last: dict[str, tuple[str, frozenset[str]] | None] = {}
    for write_key, told in history:
        taken_before, same = found.by_project, dict(found.by_project)
        settings = "" if told is None else json.dumps({"placeholder_ids": sorted(told[1])})
        found.apply(write_key, None if told is None else {"project_id": told[0], "settings": settings})
        last[write_key] = told
        expected: dict[str, set[str]] = {}
        for project_id, ids in filter(None, last.values()):
            if ids:
                expected.setdefault(project_id, set()).update(ids)
        assert found.by_project == expected
        assert taken_before == same


def test_a_record_that_one_directory_cannot_use_reaches_the_others() -> None:
    class Refusing:
        def apply(self, write_key: str, record: Mapping[str, Any] | None) -> None:
            raise ValueError("not for me")

    found = ByProject(ProjectSettings.placeholder_words)
    with pytest.raises(ValueError, match="not for me"):
        Together(Refusing(), found).apply("k", {"project_id": "p", "settings": '{"placeholder_ids": ["x"]}'})
    assert found.by_project == {"p": {"x"}}


NUMBER: Final = "900000000000001"
WHATSAPP: Final[dict[str, Any]] = {"apps": ["shop"], "numbers": {NUMBER: {"phone": "12025550180"}}}


def of_whatsapp(**members: Any) -> str:
    return json.dumps({"whatsapp": WHATSAPP | members})


def test_a_business_number_has_the_defaults_and_what_is_given() -> None:
    numbers = {NUMBER: {"phone": "12025550180", "default_sender": "bot", "source": "events"}}
    found = check_project_settings(of_whatsapp(numbers=numbers, inactivity_s=3600)).whatsapp
    assert found is not None
    number = found.numbers[NUMBER]
    assert (number.default_sender, number.source, number.echo_sender) == ("bot", "events", "agent")
    assert (found.inactivity_s, found.token_ttl_s, found.keep, found.text) == (3600, 86400, "none", "Hi! (Ref {token})")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"whatsapp": []}', "whatsapp"),
        (of_whatsapp(inactivity_s="1 day"), "whatsapp.inactivity_s"),
        (of_whatsapp(numbers={NUMBER: {"phone": 12025550180}}), "phone"),
    ],
)
def test_settings_of_whatsapp_that_nobody_can_read_are_named(text: str, named: str) -> None:
    for parse in (read_project_settings, check_project_settings):
        with pytest.raises(ValueError, match=named):
            parse(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (of_whatsapp(colour="green"), "no such setting: whatsapp.colour"),
        (of_whatsapp(numbers={NUMBER: {"phone": "12025550180", "bot": 1}}), f"whatsapp.numbers.{NUMBER}.bot"),
        (of_whatsapp(numbers={"+12025550180": {"phone": "12025550180"}}), "phone_number_id is digits"),
        (of_whatsapp(numbers={NUMBER: {}}), "phone: 5 to 20 digits"),
        (of_whatsapp(numbers={NUMBER: {"phone": "+12025550180"}}), "phone: 5 to 20 digits"),
        (of_whatsapp(numbers={NUMBER: {"phone": "12025550180", "default_sender": "robot"}}), "one of bot, agent, unk"),
        (of_whatsapp(numbers={NUMBER: {"phone": "12025550180", "first_state": "resolved"}}), "first_state: one of"),
        (of_whatsapp(keep="some"), "whatsapp.keep: one of none, all"),
        (of_whatsapp(apps=["Shop 1"]), "whatsapp.apps"),
        (of_whatsapp(token_ttl_s=8 * 86400), "whatsapp.token_ttl_s: 60 to 604800 seconds"),
        (of_whatsapp(inactivity_s=0), "whatsapp.inactivity_s: 60 to"),
        (of_whatsapp(text="Hello!"), "whatsapp.text: has {token} in it"),
    ],
)
def test_settings_of_whatsapp_that_may_not_be_written_are_named_and_can_be_read(text: str, named: str) -> None:
    assert read_project_settings(text).whatsapp is not None
    with pytest.raises(ValueError, match=re.escape(named)):
        check_project_settings(text)
