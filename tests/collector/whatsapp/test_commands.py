"""What `python -m collector whatsapp check` finds amiss."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from prometheus_client import CollectorRegistry, make_wsgi_app
from typer.testing import CliRunner

from collector.http.counts import Counts
from collector.projects.directory import ProjectDirectory
from collector.whatsapp.commands import _never_seen, _set_up, whatsapp
from collector.whatsapp.ids import hashed_id, ids_key
from schemas.metrics import CollectorMetrics
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


class Quiet(WSGIRequestHandler):
    """Says nothing of requests."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def admin_port(*fields: str) -> Iterator[int]:
    """The admin port of a collector that has had these fields."""
    registry = CollectorRegistry()
    counts = Counts(CollectorMetrics(registry))
    counts.items(Counter({(field, "event"): 1 for field in fields}), Counter(), 1.0, None)
    counts.flush()
    with make_server("127.0.0.1", 0, make_wsgi_app(registry), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_fields_that_have_never_come_are_named() -> None:
    with admin_port("messages", "standby", "account_update") as port:
        lines = list(_never_seen(Settings.model_validate({"collector_admin_port": port})))
    assert [line.partition(":")[0] for line in lines] == ["smb_message_echoes", "messaging_handovers"]
    (away,) = _never_seen(Settings.model_validate({"collector_admin_port": port}))
    assert "does not answer" in away
