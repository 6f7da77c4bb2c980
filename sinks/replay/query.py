"""Which dead letters are meant, and what their table must be able to tell of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from schemas.message_ids import MessageIds

DeadLetter = Mapping[str, Any]

SENT: Final = "sent"
STORED: Final = "stored"
SENDING: Final = "sending"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters: all that are given must fit. since_ms, until_ms: ms since 1970.

    replayed: also those that were sent through again already.
    """

    reason: str | None = None
    stage: str | None = None
    project_id: str | None = None
    since_ms: int | None = None
    dead_letter_id: str | None = None
    until_ms: int | None = None
    replayed: bool = False


class ReplayTable(Protocol):
    """What a replay asks and notes. Every method may raise ReadFailedError."""

    def write_keys(self) -> dict[str, str]:
        """A write key that is not disabled, by project id."""

    def stored(self, names: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of these events, by project id and message id, have a row already, however long ago it came."""

    def mark(self, dead_letters: Sequence[DeadLetter], outcome: str) -> None:
        """Note what becomes of dead letters that are sent through again."""


class DeadLetterTable(ReplayTable, Protocol):
    """The same, and the dead letters themselves."""

    def summary(self, wanted: Selection) -> list[tuple[str, str, str, int, int]]:
        """Stage, reason, project id, number and latest time (ms since 1970), most frequent first."""

    def latest(self, wanted: Selection, count: int) -> list[tuple[str, str, str]]:
        """Id, reason and detail of the latest few, oldest first; no payload is read."""

    def pages(self, wanted: Selection) -> Iterator[list[DeadLetter]]:
        """The dead letters, oldest first, a few in memory at a time; payload is bytes."""


def event_name(dead_letter: DeadLetter) -> tuple[str, str]:
    """Project id and message id that the event of a collector's dead letter has, or gets when it is sent again."""
    project_id, text = dead_letter["project_id"], dead_letter["client_message_id"]
    return project_id, MessageIds(project_id)(text) if text else str(dead_letter["dead_letter_id"])


def until(wanted: Selection, now_ms: int) -> Selection:
    """The same without what comes from now on: a replay that fails would be met again for ever."""
    return replace(wanted, until_ms=now_ms)
