"""The projects and their write keys, as the topic `projects` tells them. Pure: no Kafka here."""

import base64
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from collector.projects.numbers import Numbers
from schemas import keys
from schemas.message_ids import MessageIds
from schemas.project_settings import ByProject, ProjectSettings

ANY_ORIGIN: Final = "*"
_NO_WORDS: Final[frozenset[str]] = frozenset()


class Project:
    """A project as the collector needs it.

    `scope` begins the Kafka keys of its raw events, `dead_letter_key` is that of its dead letters.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.project_id: str = record["project_id"]
        self.tenant_id: str = record["tenant_id"]
        self.name: str = record["name"]
        self.write_key: str = record["write_key"]
        self.allowed_origins = tuple(origin.rstrip("/").lower() for origin in record["allowed_origins"])
        self.settings: str = record["settings"]
        self.created_at = _ms(record["created_at"])
        self.updated_at = _ms(record["updated_at"])
        self.is_disabled: bool = record["is_disabled"]
        self.scope = keys.scope(self.tenant_id, self.project_id)
        self.dead_letter_key = keys.of_dead_letter(self.tenant_id, self.project_id)
        self.message_ids = MessageIds(self.project_id)

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may send events; an empty list allows every origin."""
        return not self.allowed_origins or ANY_ORIGIN in self.allowed_origins or origin.lower() in self.allowed_origins


class Owner(Protocol):
    """Whose a dead letter is: a project, or `NOBODY`."""

    @property
    def tenant_id(self) -> str: ...

    @property
    def project_id(self) -> str: ...

    @property
    def message_ids(self) -> MessageIds: ...

    @property
    def dead_letter_key(self) -> bytes: ...


class Nobody(NamedTuple):
    """Whose what nobody owns is."""

    tenant_id: str = ""
    project_id: str = ""
    message_ids: MessageIds = MessageIds(str(uuid.UUID(int=0)))
    dead_letter_key: bytes = keys.of_dead_letter("", "")


NOBODY: Final = Nobody()


class ProjectDirectory:
    """All projects by write key. `apply` records in the order of the topic."""

    def __init__(self) -> None:
        self._by_key: dict[str, Project] = {}
        self._by_authorization: dict[str, Project] = {}
        self._placeholders = ByProject(ProjectSettings.placeholder_words)
        self.numbers = Numbers()

    def __len__(self) -> int:
        return len(self._by_key)

    def apply(self, write_key: str, record: Mapping[str, Any] | None) -> None:
        """Take over one record of the topic; None removes the key. Raises ValueError or KeyError for a bad record.

        Settings that cannot be read, which only a foreign command writes, leave the project's former ones.
        """
        with suppress(ValueError):
            self._placeholders.apply(write_key, record)
        if record is None:
            self._by_key.pop(write_key, None)
            self._by_authorization.pop(basic_authorization(write_key), None)
            self.numbers.apply(write_key, None)
            return
        project = Project(record)
        before = self._by_key.get(write_key)
        if before is None or before.updated_at <= project.updated_at:
            self._by_key[write_key] = project
            self._by_authorization[basic_authorization(write_key)] = project
            with suppress(ValueError):
                self.numbers.apply(write_key, project)

    def by_key(self, write_key: str) -> Project | None:
        """The project of a write key, disabled or not."""
        return self._by_key.get(write_key)

    def by_authorization(self, header: str) -> Project | None:
        """The project of a whole `Authorization: Basic …` header, as SDKs write it: nothing is decoded."""
        return self._by_authorization.get(header)

    def placeholders(self, project_id: str) -> frozenset[str]:
        """The ids that name nobody in a project, by the settings of all its write keys: the same as workers take."""
        return self._placeholders.by_project.get(project_id, _NO_WORDS)

    def all(self) -> list[Project]:
        """Every project, in the order of their names."""
        return sorted(self._by_key.values(), key=lambda project: (project.name, project.write_key))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def basic_authorization(write_key: str) -> str:
    """The header by which SDKs send a write key: as the user name, without a password."""
    return "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()
