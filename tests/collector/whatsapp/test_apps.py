"""The file of secrets: read again when it changes, and never by others than its owner."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from collector.whatsapp.apps import Apps, AppsFileError, read_apps
from tests.collector.whatsapp.payloads import SECRET, VERIFY, apps_file

SHOP: dict[str, Any] = {"app_secrets": ["now", "before"], "verify_token": "v"}


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = apps_file(tmp_path)
    apps = Apps(str(path))
    (found,) = (apps.find("shop"),)
    assert found is not None
    assert found.secrets() == [SECRET.encode()]
    assert found.is_verify_token(VERIFY)
    assert not found.is_verify_token(VERIFY + "ü")
    assert found.header == "X-Hub-Signature-256"
    apps_file(tmp_path, other=SHOP)
    assert apps.find("shop") is None
    other = apps.find("other")
    assert other is not None
    assert other.secrets() == [b"now", b"before"]


def test_without_a_file_there_are_no_apps() -> None:
    assert Apps(None).find("shop") is None


@pytest.mark.parametrize("content", ["{", "[]", '{"shop":{}}', '{"Shop!":{"app_secrets":["a"],"verify_token":"v"}}',
    json.dumps({"shop": SHOP | {"app_secrets": []}}), json.dumps({"shop": SHOP | {"app_secrets": [""]}}),
    json.dumps({"shop": SHOP | {"verify_token": ""}}), json.dumps({"shop": SHOP | {"secret": "misspelt"}}),
    json.dumps({"shop": SHOP | {"header": "a: b"}})])  # fmt: skip
def test_a_file_that_is_not_as_it_should_be_is_refused_at_first_and_ignored_later(tmp_path: Path, content: str) -> None:
    path = apps_file(tmp_path)
    apps = Apps(str(path))
    path.write_text(content)
    with pytest.raises(AppsFileError, match=r"apps\.json"):
        Apps(str(path))
    assert apps.find("shop") is not None


def test_what_the_file_holds_is_in_no_message(tmp_path: Path) -> None:
    path = apps_file(tmp_path, shop=SHOP | {"app_secrets": 5, "verify_token": "very-secret"})
    with pytest.raises(AppsFileError) as refused:
        read_apps(path)
    assert "very-secret" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = apps_file(tmp_path)
    path.chmod(mode)
    with pytest.raises(AppsFileError, match="chmod 600"):
        read_apps(path)


def test_a_file_that_is_gone_leaves_the_apps_as_they_were(tmp_path: Path) -> None:
    path = apps_file(tmp_path)
    apps = Apps(str(path))
    os.unlink(path)
    assert apps.find("shop") is not None
    with pytest.raises(AppsFileError, match="No such file"):
        Apps(str(path))
