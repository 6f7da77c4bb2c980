"""Business numbers of WhatsApp: whose messages a webhook brings, and which number a project's links lead to. Pure."""

from typing import TYPE_CHECKING, NamedTuple

from schemas.project_settings import read_project_settings
from schemas.whatsapp_settings import WhatsAppSettings

if TYPE_CHECKING:
    from collector.projects.directory import Project


class Numbered(NamedTuple):
    """A project with a number, and what its settings say."""

    project: "Project"
    settings: WhatsAppSettings


class Numbers:
    """The numbers of all projects. Of a number that several enabled projects have the earliest counts: no later one
    can take it over (the command refuses that)."""

    def __init__(self) -> None:
        self._of_key: dict[str, Numbered] = {}
        self._keys: dict[str, set[str]] = {}  # write keys by number

    def apply(self, write_key: str, project: "Project | None") -> None:
        """Take over a project. Raises ValueError when its settings cannot be read; then the former ones stay."""
        settings = None if project is None else read_project_settings(project.settings).whatsapp
        former = self._of_key.pop(write_key, None)
        for number in () if former is None else former.settings.numbers:
            self._keys[number].discard(write_key)
            if not self._keys[number]:
                del self._keys[number]
        if project is not None and settings is not None:
            self._of_key[write_key] = Numbered(project, settings)
            for number in settings.numbers:
                self._keys.setdefault(number, set()).add(write_key)

    def find(self, app: str, number: str) -> Numbered | None:
        """Who gets what an app's webhook brings for a number: an enabled project that has both."""
        if not (keys := self._keys.get(number)):
            return None
        found = [one for one in map(self._of_key.__getitem__, keys) if _takes(one, app)]
        return min(found, key=_age) if found else None

    def of_project(self, project: "Project") -> WhatsAppSettings | None:
        """The settings of a project: those under its write key, else those under another key of the same project."""
        if (own := self._of_key.get(project.write_key)) is not None:
            return own.settings
        others = [one for one in self._of_key.values() if one.project.project_id == project.project_id]
        return min(others, key=_age).settings if others else None

    def owners(self, number: str) -> list[Numbered]:
        """The enabled projects that have a number, the earliest first."""
        found = map(self._of_key.__getitem__, self._keys.get(number, ()))
        return sorted((one for one in found if not one.project.is_disabled), key=_age)

    def all(self) -> list[Numbered]:
        """The enabled projects that have numbers."""
        return sorted((one for one in self._of_key.values() if not one.project.is_disabled), key=_age)


def _takes(one: Numbered, app: str) -> bool:
    return not one.project.is_disabled and app in one.settings.apps


def _age(one: Numbered) -> tuple[int, str, str]:
    return one.project.created_at, one.project.project_id, one.project.write_key


def taken_numbers(numbers: Numbers, project_id: str, settings: str) -> list[str]:
    """What is wrong with an enabled project that is about to be written: a line for each number that another one has.

    Raises ValueError when its settings cannot be read.
    """
    found = read_project_settings(settings).whatsapp
    return [
        f"{number} is a number of the project {other.project.name!r} ({other.project.project_id}); a number belongs to "
        f"one enabled project: `projects disable {other.project.write_key}`, or take it out of its settings"
        for number in (() if found is None else found.numbers)
        for other in numbers.owners(number)
        if other.project.project_id != project_id
    ]
