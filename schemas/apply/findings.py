"""What a comparison with the contract found, one line for each topic, table or view."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.markup import escape
from rich.table import Table


class Verdict(StrEnum):
    """What was found or done for one thing.

    A note is an operator's own choice that harms nothing: it is told and left alone. What is `to create` or `to alter`
    stands in a plan: `apply` would do it.
    """

    OK = "ok"
    CREATED = "created"
    ALTERED = "altered"
    NOTE = "note"
    TO_CREATE = "to create"
    TO_ALTER = "to alter"
    MISSING = "missing"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """One topic, table or view, what was found or done, and the particulars."""

    verdict: Verdict
    subject: str
    detail: str = ""

    @property
    def settled(self) -> bool:
        """Whether the thing is as the contract says, or would be after what is planned."""
        return self.verdict not in (Verdict.MISSING, Verdict.DIFFERS)

    def __str__(self) -> str:
        return f"{self.verdict:9} {self.subject}" + (f": {self.detail}" if self.detail else "")


class ApplyError(RuntimeError):
    """A server refused or cannot be reached; the message says which and what to do."""


class UnreachableError(ApplyError):
    """A server cannot be reached: nothing is wrong with what was asked, and asking again may help."""


_LOOK = (Verdict.NOTE, Verdict.TO_CREATE, Verdict.TO_ALTER)


def as_table(findings: Sequence[Finding]) -> Table:
    """The findings for a terminal."""
    table = Table("", "what", "detail", box=None)
    for finding in findings:
        colour = "yellow" if finding.verdict in _LOOK else "green" if finding.settled else "red"
        table.add_row(f"[{colour}]{finding.verdict}[/]", escape(finding.subject), escape(finding.detail))
    return table
