"""The settings of a project: what is read of them, and what may be written."""

import json
from collections.abc import Callable, Mapping
from typing import Any

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
