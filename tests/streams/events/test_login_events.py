"""Which track events link a visitor to a user."""

import polars as pl
import pytest

from streams.events.claims import LoginEvents, claims
from tests.collector.made import project_fields

OWN = {"p": frozenset({"Entered"})}


def claimed(event_type: str, event_name: str, project_id: str = "p") -> list[tuple[str, str, str]]:
    """(link source, visitor, user) of the claims that one event makes."""
    row = {
        "index": 0, "source_offset": 1, "source_partition": 0, "tenant_id": "t", "project_id": project_id,
        "event_type": event_type, "event_name": event_name, "anonymous_id": "ann",
        "user_id": "u", "previous_id": None, "handshake_token": None, "timestamp": 1, "properties": "{}",
    }  # fmt: skip
    texts = ("anonymous_id", "user_id", "previous_id", "handshake_token")
    frame = pl.DataFrame([row], schema_overrides=dict.fromkeys(texts, pl.String))
    return claims(frame, {}, own_logins=OWN).select("link_source", "anonymous_id", "user_id").rows()


@pytest.mark.parametrize("name", ["Entered", "Signed In", "LOGIN"])
def test_a_login_of_the_project_links_as_those_of_the_specifications_do(name: str) -> None:
    assert claimed("track", name) == [("login", "ann", "u")]


@pytest.mark.parametrize(
    ("event_type", "name", "project"), [("track", "entered", "p"), ("track", "Entered", "q"), ("page", "Entered", "p")]
)
def test_another_name_project_or_kind_of_call_is_no_login(event_type: str, name: str, project: str) -> None:
    assert claimed(event_type, name, project) == []


def test_the_projects_settings_say_which() -> None:
    logins = LoginEvents()
    logins.apply("key", project_fields() | {"project_id": "p", "settings": '{"login_events": ["Entered"]}'})
    assert logins.by_project == OWN
    logins.apply("key", None)
    assert logins.by_project == {}
