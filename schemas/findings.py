"""What a comparison with the contract found, one line for each topic, table or view."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.markup import escape
from rich.table import Table


class Verdict(StrEnum):
    """What was found or done for one thing."""

    OK = "ok"
    CREATED = "created"
    ALTERED = "altered"
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
        """Whether the thing is now as the contract says."""
        return self.verdict not in (Verdict.MISSING, Verdict.DIFFERS)

    def __str__(self) -> str:
        return f"{self.verdict:8} {self.subject}" + (f": {self.detail}" if self.detail else "")


class ApplyError(RuntimeError):
    """A server refused or cannot be reached; the message says which and what to do."""


def as_table(findings: Sequence[Finding]) -> Table:
    """The findings for a terminal."""
    table = Table("", "what", "detail", box=None)
    for finding in findings:
        colour = "green" if finding.settled else "red"
        table.add_row(f"[{colour}]{finding.verdict}[/]", escape(finding.subject), escape(finding.detail))
    return table
