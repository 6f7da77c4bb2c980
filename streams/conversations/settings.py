"""What projects' settings say of their business numbers: how facts are read and folded. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.project_settings import read_project_settings
from schemas.whatsapp import AGENT, BOT, UNKNOWN
from schemas.whatsapp_settings import NumberSettings, WhatsAppSettings
from streams.conversations.episodes import BOT_ACTIVE, QUEUED, EpisodeRules

_NO_NUMBER: Final = NumberSettings()
_NO_SETTINGS: Final = WhatsAppSettings()
SOURCE_EVENTS: Final = "events"


class BusinessNumbers:
    """The business numbers of every project; several write keys of a project add theirs up.

    `by_project` is another mapping after each change: whoever has taken one keeps it as it is.
    """

    def __init__(self) -> None:
        self.by_project: Mapping[str, WhatsAppSettings] = {}
        self._of_keys: dict[str, tuple[str, WhatsAppSettings]] = {}

    def apply(self, write_key: str, record: Mapping[str, Any] | None) -> None:
        """Take a record of the topic `projects`. Raises ValueError when its settings cannot be read."""
        settings = None if record is None else read_project_settings(record["settings"]).whatsapp
        former = self._of_keys.pop(write_key, None)
        if record is not None and settings is not None:
            self._of_keys[write_key] = record["project_id"], settings
        if former is not None or settings is not None:
            self.by_project = self._added_up()

    def _added_up(self) -> dict[str, WhatsAppSettings]:
        found: dict[str, WhatsAppSettings] = {}
        for _, (project_id, settings) in sorted(self._of_keys.items()):
            first = found.setdefault(project_id, settings)
            if first is not settings:
                found[project_id] = _with_numbers(first, settings.numbers)
        return found

    def number(self, project_id: str, phone_number_id: str) -> NumberSettings:
        """Those of a number; the defaults where a project does not name it."""
        return self.by_project.get(project_id, _NO_SETTINGS).numbers.get(phone_number_id, _NO_NUMBER)

    def only_number(self, project_id: str) -> str:
        """The project's number when it has one, else ''."""
        numbers = self.by_project.get(project_id, _NO_SETTINGS).numbers
        return next(iter(numbers)) if len(numbers) == 1 else ""

    def rules(self, project_id: str, phone_number_id: str) -> EpisodeRules:
        """How episodes at a number are told apart."""
        project, number = self.by_project.get(project_id, _NO_SETTINGS), self.number(project_id, phone_number_id)
        return EpisodeRules(
            inactivity_ms=project.inactivity_s * 1000,
            grace_ms=project.reopen_grace_s * 1000,
            first_state=number.first_state if number.first_state == BOT_ACTIVE else QUEUED,
            default_sender=number.default_sender if number.default_sender in (BOT, AGENT) else UNKNOWN,
        )


def _with_numbers(settings: WhatsAppSettings, numbers: Mapping[str, NumberSettings]) -> WhatsAppSettings:
    return WhatsAppSettings(
        *(settings.apps, {**numbers, **settings.numbers}, settings.keep, settings.ids, settings.status_events),
        *(settings.token_ttl_s, settings.inactivity_s, settings.reopen_grace_s, settings.text),
    )
