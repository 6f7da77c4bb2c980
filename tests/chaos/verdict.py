"""What stands in the tables against what the clients were told: pure, so that it is tested without servers."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.expected import Expected, Row, Sent, differences, event_row, expect, letters
from tests.chaos.rollups import Summing
from tests.chaos.rollups import differences as rollup_differences
from tests.chaos.tables import Found

_SAMPLES: Final = 10
_SAMPLE_CHARS: Final = 400


@dataclass(slots=True)
class Verdict:
    """How many; and what is wrong: every list must be empty, and the ledger sound with a difference of 0.

    lost, doubled, unknown: client message ids. wrong_events: stored once, and otherwise than sent. wrong_exits:
    processes that ended by themselves without a fault that explains it. not_fired: faults that never came about.
    """

    accepted: int = 0
    unsure: int = 0
    stored: int = 0
    sessions: int = 0
    identities: int = 0
    dead_letters: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    wrong_events: list[str] = field(default_factory=list)
    wrong_sessions: list[str] = field(default_factory=list)
    wrong_identities: list[str] = field(default_factory=list)
    wrong_dead_letters: list[str] = field(default_factory=list)
    wrong_answers: list[str] = field(default_factory=list)
    wrong_exits: list[str] = field(default_factory=list)
    not_fired: list[str] = field(default_factory=list)
    wrong_rollups: list[str] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)

    @property
    def wrong(self) -> dict[str, int]:
        """How much of what is wrong; empty: the promise was kept."""
        found = {kind: len(getattr(self, name)) for kind, name in KINDS.items()}
        found["ledger"] = int(not self.ledger.get("sound", False) or self.ledger.get("difference") != 0)
        return {kind: count for kind, count in found.items() if count}

    def explained(self) -> str:
        """The first of each kind of what is wrong, one a line."""
        lines: list[str] = []
        for kind, name in KINDS.items():
            samples: list[str] = getattr(self, name)
            lines += [f"{kind} ({len(samples)}):"] if samples else []
            lines += [f"  {sample if kind == 'exits' else sample[:_SAMPLE_CHARS]}" for sample in samples[:_SAMPLES]]
        return "\n".join([*lines, f"ledger: {json.dumps(self.ledger)[:2_000]}"])


# What `wrong` calls it, and where the verdict keeps it; `ledger` is the eleventh kind.
KINDS: Final[Mapping[str, str]] = {
    "lost": "lost",
    "doubled": "doubled",
    "unknown": "unknown",
    "events": "wrong_events",
    "sessions": "wrong_sessions",
    "identities": "wrong_identities",
    "dead_letters": "wrong_dead_letters",
    "answers": "wrong_answers",
    "exits": "wrong_exits",
    "faults": "not_fired",
    "rollups": "wrong_rollups",
}


def judge(sent: Sent, found: Found, *, exits: Iterable[str] = (), not_fired: Iterable[str] = ()) -> Verdict:
    """Compare everything. `exits`, `not_fired`: what the run says of its processes and of its faults."""
    unsure = {name: event for name, event in sent.unsure.items() if name not in sent.accepted}
    verdict = Verdict(
        accepted=len(sent.accepted),
        unsure=len(unsure),
        ledger=found.ledger,
        wrong_answers=list(sent.wrong_answers),
        wrong_exits=list(exits),
        not_fired=list(not_fired),
    )
    sessions = _judge_events(verdict, sent, found)
    verdict.wrong_events += [f"{name}: its session leads to none that lives" for name in found.dangling]
    events = [*sent.accepted.values(), *(event for name, event in unsure.items() if name in sessions)]
    expected = expect(events, sent)
    _judge_sessions(verdict, expected, found, sessions)
    verdict.identities = len(found.identities)
    links = [(f"{row['anonymous_id']} {row['user_id']}", row) for row in found.identities]
    verdict.wrong_identities = _compare(expected.identities, links)
    _judge_dead_letters(verdict, sent, found)
    return verdict


def _judge_events(verdict: Verdict, sent: Sent, found: Found) -> dict[str, str]:
    """Each event once and as it was sent; the answer is the session that each row names, by client message id."""
    times: Counter[str] = Counter()
    sessions: dict[str, str] = {}
    places: dict[Any, str] = {}
    summing = Summing()
    for row in found.events:
        summing.add(row)
        name = row["client_message_id"]
        times[name] += 1
        event = sent.accepted.get(name) or sent.unsure.get(name)
        if event is None:
            continue
        sessions.setdefault(name, row["session_id"])
        wrong = differences(event_row(event, sent), row) + _impossible(row, sent)
        place = row["source_generation"], row["source_partition"], row["source_offset"]
        for what in (place, row["event_id"]):
            if (other := places.setdefault(what, name)) != name:
                wrong.append(f"{what} is also that of {other}")
        if wrong:
            verdict.wrong_events.append(f"{name}: {'; '.join(wrong)}")
    verdict.wrong_rollups = rollup_differences(summing.result(), found.rollups)
    verdict.stored = len(times)
    verdict.lost = sorted(sent.accepted.keys() - times.keys())
    verdict.doubled = sorted(name for name, rows_of_it in times.items() if rows_of_it > 1)
    verdict.unknown = sorted(times.keys() - sent.accepted.keys() - sent.unsure.keys())
    return sessions


def _impossible(row: Row, sent: Sent) -> list[str]:
    """What the servers decide, within the bounds that there are."""
    wrong: list[str] = []
    if not sent.began_ms <= row["received_at"] <= row["processed_at"] <= sent.ended_ms:
        moments = f"received at {row['received_at']}, processed at {row['processed_at']}"
        wrong.append(f"{moments}, sent between {sent.began_ms} and {sent.ended_ms}")
    if row["event_id"][14] != "7":
        wrong.append(f"event_id {row['event_id']} is no UUIDv7")
    return wrong


def _judge_sessions(verdict: Verdict, expected: Expected, found: Found, session_of: Mapping[str, str]) -> None:
    """The sessions are the fold of the events; and each event's row leads to its session.

    A row is written once: it may name what its session was called before a late event gave it another beginning. Then
    that name is one which the session's own events give it, and has a tombstone.
    """
    verdict.sessions = len(found.sessions)
    verdict.wrong_sessions = _compare(expected.sessions, [(row["session_id"], row) for row in found.sessions])
    for name, session_id in session_of.items():
        now, ever = expected.session_of[name]
        if session_id != now and not (session_id in ever and session_id in found.tombstones):
            verdict.wrong_events.append(f"{name}: session_id is {session_id!r} instead of {now!r}")


def _compare(expected: Mapping[str, Row], found: Iterable[tuple[str, Row]]) -> list[str]:
    """What lacks, is too much, stands twice, or is otherwise than it should be."""
    wrong: list[str] = []
    seen: set[str] = set()
    for name, row in found:
        if name in seen:
            wrong.append(f"{name}: stands twice")
        elif name not in expected:
            wrong.append(f"{name}: nobody caused it: {row}")
        elif different := differences(expected[name], row):
            wrong.append(f"{name}: {'; '.join(different)}")
        seen.add(name)
    return wrong + [f"{name}: lacks" for name in sorted(expected.keys() - seen)]


def _judge_dead_letters(verdict: Verdict, sent: Sent, found: Found) -> None:
    """Each as often as it was caused: no other place, bytes or reason, and none twice."""
    verdict.dead_letters = found.dead_letters.total()
    must, may = letters(sent)
    lacking, more = must - found.dead_letters, found.dead_letters - must - may
    verdict.wrong_dead_letters = [f"lacks {count} of {letter}" for letter, count in lacking.items()]
    verdict.wrong_dead_letters += [f"{count} too many of {letter}" for letter, count in more.items()]
