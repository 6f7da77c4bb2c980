"""A project's own settings: the field `settings` of the topic `projects`, a JSON object; every reader's one way in.

    {"conversion_events": ["Order Completed"],     a session with one of these events is converted
     "login_events": ["Entered"],                  as much a login as Segment's "Signed In": links visitor and user
     "placeholder_ids": ["no-user"],               ids that name nobody, besides those of schemas.placeholders
     "whatsapp": {…}}                              its business numbers: schemas.whatsapp_settings

Readers pass over what they do not know, so that a newer release's settings stop nothing; the command that writes them
refuses it, since it is misspelt. Allowed origins and `is_disabled` are fields of the record, no settings. Pure.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from schemas import placeholders
from schemas.whatsapp_settings import WhatsAppSettings, check_whatsapp_settings

# Together half of what a Kafka record may have.
_EVENTS_MAX: Final = 1_000
_EVENT_NAME_CHARS_MAX: Final = 500
_LOGIN_EVENTS_MAX: Final = 100
_LOGIN_CHARS_MAX: Final = 200
_PLACEHOLDERS_MAX: Final = 1_000
_PLACEHOLDER_CHARS_MAX: Final = 200
_NO_TEXTS: Final[frozenset[str]] = frozenset()


class ProjectSettings(msgspec.Struct, frozen=True):
    """The settings, each with its default.

    conversion_events, login_events: names of track events. placeholder_ids: ids and handshake tokens, whatever their
    case. whatsapp: None where the project has no business number.
    """

    conversion_events: frozenset[str] = frozenset()
    placeholder_ids: frozenset[str] = frozenset()
    whatsapp: WhatsAppSettings | None = None
    login_events: frozenset[str] = frozenset()

    def placeholder_words(self) -> frozenset[str]:
        """The placeholder ids, as ids are compared with them."""
        return frozenset(map(placeholders.word_of, self.placeholder_ids))


FIELDS: Final = frozenset(ProjectSettings.__struct_fields__)


def read_project_settings(text: str) -> ProjectSettings:
    """The settings in a record; no text stands for none. Raises ValueError naming what is not as it should be."""
    return _converted(_object(text or "{}"))


def check_project_settings(text: str) -> ProjectSettings:
    """The same for settings that are about to be written: all of them must be known, and within bounds."""
    members = _object(text)
    if unknown := sorted(members.keys() - FIELDS):
        names = ", ".join(map(repr, unknown))
        raise ValueError(f"no such setting: {names}; there is {', '.join(sorted(FIELDS))}")
    settings = _converted(members)
    _check_texts("conversion_events", settings.conversion_events, _EVENTS_MAX, _EVENT_NAME_CHARS_MAX)
    _check_texts("login_events", settings.login_events, _LOGIN_EVENTS_MAX, _LOGIN_CHARS_MAX)
    _check_texts("placeholder_ids", settings.placeholder_ids, _PLACEHOLDERS_MAX, _PLACEHOLDER_CHARS_MAX)
    if settings.whatsapp is not None:
        check_whatsapp_settings(settings.whatsapp, members["whatsapp"])
    return settings


class ByProject:
    """One setting of every project that has anything of it; several write keys of a project add up.

    `by_project` is another mapping after each change: whoever has taken one keeps it as it is.
    """

    def __init__(self, of: Callable[[ProjectSettings], frozenset[str]]) -> None:
        self.by_project: Mapping[str, frozenset[str]] = {}
        self._of = of
        self._project_of: dict[str, str] = {}  # by write key, of those that have anything
        self._texts: dict[str, dict[str, frozenset[str]]] = {}  # by project, then write key

    def apply(self, write_key: str, record: Mapping[str, Any] | None) -> None:
        """Take a record of the topic `projects`. Raises ValueError when its settings cannot be read."""
        texts = _NO_TEXTS if record is None else self._of(read_project_settings(record["settings"]))
        former = self._project_of.pop(write_key, None)
        if former is None and not texts:
            return
        merged = dict(self.by_project)
        if former is not None:
            del self._texts[former][write_key]
            self._add_up(former, merged)
        if record is not None and texts:
            project_id = self._project_of[write_key] = record["project_id"]
            self._texts.setdefault(project_id, {})[write_key] = texts
            self._add_up(project_id, merged)
        self.by_project = merged

    def _add_up(self, project_id: str, merged: dict[str, frozenset[str]]) -> None:
        """Of one project only: all of them, at each of many records, cost the square of their number."""
        merged.pop(project_id, None)
        if self._texts[project_id]:
            merged[project_id] = _NO_TEXTS.union(*self._texts[project_id].values())
        else:
            del self._texts[project_id]


def _check_texts(setting: str, texts: frozenset[str], count_max: int, chars_max: int) -> None:
    if len(texts) > count_max:
        raise ValueError(f"{setting}: at most {count_max}")
    for text in texts:
        if not 0 < len(text) <= chars_max:
            raise ValueError(f"{setting}: each has 1 to {chars_max} characters")


def _object(text: str) -> dict[str, Any]:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise ValueError("not a JSON object")
    return members


def _converted(members: dict[str, Any]) -> ProjectSettings:
    try:
        return msgspec.convert(members, ProjectSettings)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        raise ValueError(f"{where.strip('`').removeprefix('$.') or 'settings'}: {what}") from None
