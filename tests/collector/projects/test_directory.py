"""The directory of projects, and which write key decides."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from collector.errors import Refusal, RefusedRequest
from collector.projects.authenticate import Credentials, find_project, require_project
from collector.projects.directory import Project, ProjectDirectory, basic_authorization
from tests.collector.made import PROJECT_ID, WRITE_KEY, directory_of, project_fields

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_the_newest_record_of_a_key_wins() -> None:
    directory = ProjectDirectory()
    for name, age in (("new", 0), ("same", 0), ("old", 60)):
        record = project_fields(name=name, updated_at=NOW - timedelta(seconds=age))
        directory.apply(WRITE_KEY, record)
    found = directory.by_key(WRITE_KEY)
    assert found is not None
    assert found.name == "same"
    assert directory.by_authorization(basic_authorization(WRITE_KEY)) is found
    assert len(directory) == 1


def test_a_removed_key_is_forgotten() -> None:
    directory = directory_of()
    directory.apply(WRITE_KEY, None)
    assert directory.by_key(WRITE_KEY) is None
    assert directory.by_authorization(basic_authorization(WRITE_KEY)) is None
    directory.apply("never known", None)


def test_a_record_that_cannot_be_used_changes_nothing() -> None:
    directory = directory_of()
    with pytest.raises(ValueError, match="badly formed"):
        directory.apply(WRITE_KEY, project_fields(project_id="no uuid"))
    with pytest.raises(ValueError, match="tenant_id 'a/b' is empty or has a '/'"):
        directory.apply(WRITE_KEY, project_fields(tenant_id="a/b"))
    assert directory.by_key(WRITE_KEY) is not None


def test_a_project_whose_settings_cannot_be_read_goes_on_with_the_placeholders_it_had() -> None:
    directory = directory_of(project_fields(settings='{"placeholder_ids": ["No-User"]}'))
    directory.apply(WRITE_KEY, project_fields(name="renamed", settings="["))
    found = directory.by_key(WRITE_KEY)
    assert found is not None
    assert found.name == "renamed"
    assert directory.placeholders(PROJECT_ID) == {"no-user"}


@pytest.mark.parametrize(
    ("allowed", "origin", "verdict"),
    [
        ([], "https://any.example", True),
        (["*"], "https://any.example", True),
        (["https://shop.example"], "https://shop.example", True),
        (["https://Shop.example/"], "https://shop.example", True),
        (["https://shop.example"], "http://shop.example", False),
        (["https://shop.example"], "https://shop.example.evil.example", False),
        (["https://shop.example"], "null", False),
    ],
)
def test_allowed_origins(allowed: list[str], origin: str, verdict: bool) -> None:
    assert Project(project_fields(allowed_origins=allowed)).allows(origin) is verdict


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(basic(f"{WRITE_KEY}:"), None, None),
        Credentials(basic(WRITE_KEY), None, None),
        Credentials(basic(f"{WRITE_KEY}:secret"), None, None),
        Credentials(basic(f"{WRITE_KEY}:").replace("Basic", "basic").rstrip("="), None, None),
        Credentials(None, WRITE_KEY, None),
        Credentials(None, f"{WRITE_KEY}:secret", None),
        Credentials(None, None, WRITE_KEY),
        Credentials(basic("proxy:password"), None, WRITE_KEY),
    ],
)
def test_a_key_is_found_wherever_an_sdk_puts_it(credentials: Credentials) -> None:
    found = find_project(directory_of(), credentials)
    assert found is not None
    assert found.write_key == WRITE_KEY


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer token", "Basic", "Basic !!!", "Basic /w==", basic("other:")]
)
def test_the_key_of_the_body_counts_when_no_other_is_known(authorization: str | None) -> None:
    directory = directory_of()
    credentials = Credentials(authorization, None, None)
    assert find_project(directory, credentials) is None
    assert require_project(directory, None, credentials, WRITE_KEY).write_key == WRITE_KEY


@pytest.mark.parametrize(
    ("credentials", "body_key", "refusal"),
    [
        (Credentials(None, None, None), None, Refusal.KEY_MISSING),
        (Credentials("Bearer token", None, None), None, Refusal.KEY_MISSING),
        (Credentials(basic("other:"), None, None), None, Refusal.KEY_UNKNOWN),
        (Credentials(None, None, None), "other", Refusal.KEY_UNKNOWN),
    ],
)
def test_a_missing_key_is_told_from_an_unknown_one(
    credentials: Credentials, body_key: str | None, refusal: Refusal
) -> None:
    with pytest.raises(RefusedRequest) as caught:
        require_project(directory_of(), None, credentials, body_key)
    assert caught.value.refusal is refusal


def test_a_disabled_project_is_refused() -> None:
    directory = directory_of(project_fields(is_disabled=True))
    with pytest.raises(RefusedRequest) as caught:
        require_project(directory, directory.by_key(WRITE_KEY), Credentials(None, None, None), None)
    assert caught.value.refusal is Refusal.PROJECT_DISABLED


def test_a_disabled_project_is_refused_by_the_key_of_the_body_too() -> None:
    directory = directory_of(project_fields(is_disabled=True))
    with pytest.raises(RefusedRequest) as caught:
        require_project(directory, None, Credentials(None, None, None), WRITE_KEY)
    assert caught.value.refusal is Refusal.PROJECT_DISABLED
