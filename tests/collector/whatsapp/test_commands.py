"""What `python -m collector whatsapp check` finds amiss."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector.projects.directory import ProjectDirectory
from collector.whatsapp.commands import _set_up, whatsapp
from collector.whatsapp.ids import hashed_id, ids_key
from schemas.settings import Settings
from tests.collector.made import TENANT_ID, directory_of, project_fields
from tests.collector.whatsapp.payloads import APP, CARLA, NUMBER, VERIFY, apps_file, directory
from tests.collector.whatsapp.payloads import whatsapp as with_number

SECRET = "invented handshake secret"


def found(projects: ProjectDirectory, path: Path | None = None, secret: str = SECRET) -> list[str]:
    own = {"collector_handshake_secret": secret, "collector_whatsapp_apps_path": None if path is None else str(path)}
    return list(_set_up(Settings.model_validate(own), projects))


def test_what_fits_is_nothing_to_say(tmp_path: Path) -> None:
    assert found(directory(), apps_file(tmp_path)) == []


def test_each_thing_that_is_amiss_is_a_line_that_says_what_to_do(tmp_path: Path) -> None:
    (no_secret,) = found(directory(), apps_file(tmp_path), "")
    assert "TALLY_COLLECTOR_HANDSHAKE_SECRET" in no_secret
    no_file, app = found(directory())
    assert "TALLY_COLLECTOR_WHATSAPP_APPS_PATH" in no_file
    assert APP in app
    no_number, unused = found(directory_of(), apps_file(tmp_path))
    assert "projects whatsapp" in no_number
    assert APP in unused
    (hashes,) = found(directory(ids="hashed"), apps_file(tmp_path))
    assert "TALLY_COLLECTOR_WHATSAPP_IDS_SECRET" in hashes
    twice = directory_of(
        project_fields(settings=with_number()),
        project_fields(settings=with_number(), project_id="99999999-9999-4999-8999-999999999999", write_key="o"),
    )
    (double,) = found(twice, apps_file(tmp_path))
    assert NUMBER in double
    apps_file(tmp_path, **{APP: {"app_secrets": ["a"], "verify_token": VERIFY}}).chmod(0o644)
    readable, *_ = found(directory(), tmp_path / "apps.json")
    assert "chmod 600" in readable


@pytest.mark.parametrize("spelt", [CARLA[0], f"+{CARLA[0]}"])
def test_an_id_is_hashed_as_it_is_stored(monkeypatch: pytest.MonkeyPatch, spelt: str) -> None:
    secret = "invented ids secret"
    monkeypatch.setenv("TALLY_COLLECTOR_WHATSAPP_IDS_SECRET", secret)
    done = CliRunner().invoke(whatsapp, ["hash", spelt, "--tenant", TENANT_ID])
    assert done.output.strip() == hashed_id(ids_key(secret.encode(), TENANT_ID), CARLA[0])


def test_without_a_secret_nothing_is_hashed() -> None:
    done = CliRunner().invoke(whatsapp, ["hash", CARLA[0], "--tenant", TENANT_ID])
    assert (done.exit_code, CARLA[0] in done.output) == (2, False)
