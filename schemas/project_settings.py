"""A project's own settings: the field `settings` of the topic `projects`, a JSON object; every reader's one way in.

    {"conversion_events": ["Order Completed"]}     a session with one of these events is converted

Readers pass over what they do not know, so that a newer release's settings stop nothing; the command that writes them
refuses it, since it is misspelt. Allowed origins and `is_disabled` are fields of the record, no settings. Pure.
"""

import json
from typing import Any, Final

import msgspec

# Together half of what a Kafka record may have.
_EVENTS_MAX: Final = 1_000
_EVENT_NAME_CHARS_MAX: Final = 500


class ProjectSettings(msgspec.Struct, frozen=True):
    """The settings, each with its default. conversion_events: names of track events."""

    conversion_events: frozenset[str] = frozenset()


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
    if len(settings.conversion_events) > _EVENTS_MAX:
        raise ValueError(f"conversion_events: at most {_EVENTS_MAX}")
    for name in settings.conversion_events:
        if not 0 < len(name) <= _EVENT_NAME_CHARS_MAX:
            raise ValueError(f"conversion_events: a name has 1 to {_EVENT_NAME_CHARS_MAX} characters")
    return settings


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
