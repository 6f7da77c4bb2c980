"""The record of a project, made anew or changed, as the commands write it: it makes up keys and ids, and checks."""

import json
import secrets
import string
import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from collector.projects.directory import Project
from schemas.project_settings import check_project_settings, read_project_settings
from schemas.whatsapp_settings import NumberSettings

NAME_CHARS_MAX: Final = 100
WRITE_KEY_CHARS_MAX: Final = 100
# 190 bits, and nothing that a command line, a URL or a double click takes for something else.
_KEY_ALPHABET: Final = string.ascii_letters + string.digits
_KEY_CHARS: Final = 32


def project_record(
    existing: Project | None,
    now_ms: int,
    *,
    name: str | None = None,
    write_key: str | None = None,
    tenant_id: str | None = None,
    allowed_origins: Sequence[str] | None = None,
    settings: str | None = None,
    is_disabled: bool | None = None,
) -> dict[str, Any]:
    """The record of a new project, or of `existing` with what is given changed. Raises ValueError naming the option.

    What is disabled stays so unless `is_disabled` says otherwise: a new name must not let its events in again.
    """
    before = project_record_of(existing) if existing is not None else _new_record(now_ms)
    given = {
        "name": name,
        "write_key": write_key,
        "tenant_id": tenant_id,
        "allowed_origins": None if allowed_origins is None else list(allowed_origins),
        "settings": settings,
    }
    record = before | {field: value for field, value in given.items() if value is not None}
    # Never behind the record it replaces, whatever the clock of this machine says: the largest updated_at wins.
    record["updated_at"] = max(now_ms, before["updated_at"] + 1)
    if is_disabled is not None:
        record["is_disabled"] = is_disabled
    _check(record)
    if settings is not None:
        # Those that stand already may be of another release: a new name must not fail for them.
        _check_settings(settings)
    return record


def with_number(settings: str, number: str, of_number: NumberSettings, apps: Sequence[str]) -> str:
    """A project's settings with a WhatsApp number added or changed, and apps added. Raises ValueError."""
    read_project_settings(settings)  # what is there has the right types
    members = json.loads(settings or "{}")
    own = members.setdefault("whatsapp", {})
    own.setdefault("numbers", {})[number] = msgspec.to_builtins(of_number)
    own["apps"] = [*dict.fromkeys([*own.get("apps", ()), *apps])]
    return json.dumps(members, ensure_ascii=False)


def _new_record(now_ms: int) -> dict[str, Any]:
    return {
        "project_id": str(uuid.uuid4()),
        "tenant_id": str(uuid.uuid4()),
        "name": "",
        "write_key": "".join(secrets.choice(_KEY_ALPHABET) for _ in range(_KEY_CHARS)),
        "allowed_origins": [],
        "settings": "{}",
        "created_at": now_ms,
        "updated_at": now_ms - 1,
        "is_disabled": False,
    }


def project_record_of(project: Project) -> dict[str, Any]:
    """The record a project was read from."""
    return {
        "project_id": project.project_id,
        "tenant_id": project.tenant_id,
        "name": project.name,
        "write_key": project.write_key,
        "allowed_origins": list(project.allowed_origins),
        "settings": project.settings,
        "created_at": project.created_at,
        "updated_at": project.updated_at,
        "is_disabled": project.is_disabled,
    }


def _check(record: dict[str, Any]) -> None:
    if not 0 < len(record["name"]) <= NAME_CHARS_MAX:
        raise ValueError(f"--name: 1 to {NAME_CHARS_MAX} characters")
    key = record["write_key"]
    if (
        not 0 < len(key) <= WRITE_KEY_CHARS_MAX
        or not key.isascii()
        or not key.isprintable()
        or set(key) & set(": /?#&")
    ):
        raise ValueError(f"--write-key: 1 to {WRITE_KEY_CHARS_MAX} printable ASCII characters without space : / ? # &")
    try:
        record["tenant_id"] = str(uuid.UUID(record["tenant_id"]))
    except ValueError:
        raise ValueError(f"--tenant: {record['tenant_id']!r} is no UUID") from None


def _check_settings(text: str) -> None:
    try:
        check_project_settings(text)
    except ValueError as error:
        raise ValueError(f"--settings: {error}") from None
