"""Processes that end by themselves: which exit codes a fault explains. Pure.

A code that stands here is one that the packages' READMEs document as "start me again". Everything else is a crash,
whatever is going on around it: a traceback (1), a bad setting (2), a signal that nobody here sent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

KAFKA: Final = "Kafka away"
DATABASE: Final = "ClickHouse away"
MEMBERS: Final = "workers come and go"
SUSPENDED: Final = "suspended"
STUCK_S: Final = 45  # TALLY_STREAMS_STUCK_S_MAX of the runs: a worker that hangs is noticed within a fault's patience
_EPOCH_S: Final = 60.0  # how long an epoch waits for its delivery reports
_START_S: Final = 30.0  # from a process's launch until it has asked Kafka for what it needs


@dataclass(slots=True)
class Trouble:
    """A fault while it lasts; in seconds of one clock. `slot`: the process that it happens to, "" for all."""

    name: str
    began: float
    ended: float | None = None
    slot: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """A process that nobody told to end. `code` is negative for a signal."""

    slot: str
    kind: str
    code: int | None
    at: float
    log: str


@dataclass(frozen=True, slots=True)
class Rule:
    """`kind` may end with `code` while one of `troubles` lasts and `after_s` seconds longer; without any: always."""

    kind: str
    code: int
    why: str
    troubles: tuple[str, ...] = ()
    after_s: float = 0.0


RULES: Final = (
    Rule("streams", 69, "Kafka could not be reached while the worker started", (KAFKA,), _START_S),
    Rule("streams", 70, "an epoch's delivery reports did not come in time", (KAFKA,), _EPOCH_S + _START_S),
    Rule("streams", 71, "a chunk went missing in Faust; it is read again", (KAFKA, MEMBERS, SUSPENDED), _EPOCH_S),
    Rule("streams", 73, "nothing moved", (KAFKA, MEMBERS, SUSPENDED), STUCK_S + _EPOCH_S),
    # Any change of the group in the middle of an epoch, be it a heartbeat that came late on a busy machine.
    Rule("streams", 75, "no longer a member of the group it read with"),
    # And then of a worker that was given up after the coordinator's answer, and of the owner who finds its states.
    Rule("streams", 78, "somebody else wrote to the changelogs; they are restored anew"),
    Rule("sinks", 69, "Kafka did not answer, or has given the consumer's place to another", (KAFKA, SUSPENDED), 90.0),
)


def is_explained(ending: Ending, troubles: Iterable[Trouble]) -> bool:
    """Whether a rule allows this ending."""
    return any(
        rule.kind == ending.kind and rule.code == ending.code and _applies(rule, ending, troubles) for rule in RULES
    )


def _applies(rule: Rule, ending: Ending, troubles: Iterable[Trouble]) -> bool:
    if not rule.troubles:
        return True
    return any(
        trouble.name in rule.troubles
        and trouble.slot in ("", ending.slot)
        and trouble.began <= ending.at
        and (trouble.ended is None or ending.at <= trouble.ended + rule.after_s)
        for trouble in troubles
    )


def unexplained(endings: Sequence[Ending], troubles: Sequence[Trouble]) -> list[str]:
    """One text for each ending that no rule allows: who, with what, what was going on, the last lines of the log."""
    return [
        f"{ending.slot} ended by itself with {ending.code}; going on: {_going_on(ending, troubles)}\n{ending.log}"
        for ending in endings
        if not is_explained(ending, troubles)
    ]


def _going_on(ending: Ending, troubles: Iterable[Trouble]) -> str:
    names = {
        trouble.name
        for trouble in troubles
        if trouble.began <= ending.at and (trouble.ended is None or ending.at <= trouble.ended)
    }
    return ", ".join(sorted(names)) or "nothing"
