"""What stands in the tables against what the clients were told."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from docker.local.services import CommandFailedError, Pipeline
from streams.app import rules
from tests.chaos.client import Clients
from tests.chaos.traffic import CONVERSION, Event
from tests.streams.oracle import all_sessions, claim_of, identities_of

_SAMPLES: Final = 10
_SESSION: Final = (
    "session_id", "anonymous_id", "user_id", "started_at", "ended_at", "duration_seconds", "event_count", "page_count",
    "entry_page", "exit_page", "referrer", "utm_source", "utm_medium", "utm_campaign", "converted", "conversion_event",
)  # fmt: skip
_IDENTITY: Final = ("anonymous_id", "user_id", "linked_at", "first_linked_at", "link_source")


@dataclass(slots=True)
class Verdict:
    """How many; and what is wrong: every list and the ledger's difference must be empty or 0."""

    accepted: int = 0
    unsure: int = 0
    stored: int = 0
    sessions: int = 0
    identities: int = 0
    dead_letters: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    wrong_sessions: list[str] = field(default_factory=list)
    wrong_identities: list[str] = field(default_factory=list)
    wrong_dead_letters: list[str] = field(default_factory=list)
    wrong_answers: list[str] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)

    @property
    def wrong(self) -> dict[str, int]:
        """How much of what is wrong; empty: the promise was kept."""
        found = {
            "lost": len(self.lost),
            "doubled": len(self.doubled),
            "unknown": len(self.unknown),
            "sessions": len(self.wrong_sessions),
            "identities": len(self.wrong_identities),
            "dead_letters": len(self.wrong_dead_letters),
            "answers": len(self.wrong_answers),
            "ledger": int(not self.ledger.get("sound", False) or self.ledger["difference"] != 0),
        }
        return {name: count for name, count in found.items() if count}

    def explained(self) -> str:
        """The first of each kind of what is wrong."""
        lists = (
            "lost",
            "doubled",
            "unknown",
            "wrong_sessions",
            "wrong_identities",
            "wrong_dead_letters",
            "wrong_answers",
        )
        lines = [f"{name}: {getattr(self, name)[:_SAMPLES]}" for name in lists if getattr(self, name)]
        return "\n".join([*lines, f"ledger: {json.dumps(self.ledger)[:2_000]}"])


def judge(pipeline: Pipeline, clients: Clients, poison: Mapping[tuple[int, int], tuple[bytes, str]]) -> Verdict:
    """Compare everything; nothing may be under way."""
    verdict = Verdict(accepted=len(clients.accepted), wrong_answers=list(clients.wrong))
    unsure = {name: event for name, event in clients.unsure.items() if name not in clients.accepted}
    verdict.unsure = len(unsure)
    stored = _stored(pipeline)
    verdict.stored = len(stored)
    verdict.lost = sorted(clients.accepted.keys() - stored.keys())
    verdict.doubled = sorted(name for name, rows in stored.items() if rows > 1)
    verdict.unknown = sorted(stored.keys() - clients.accepted.keys() - unsure.keys())
    events = [*clients.accepted.values(), *(event for name, event in unsure.items() if name in stored)]
    rows = [_row(event, pipeline) for event in events]
    _judge_sessions(verdict, pipeline, rows)
    _judge_identities(verdict, pipeline, rows)
    _judge_dead_letters(verdict, pipeline, clients, poison)
    verdict.ledger = _ledger(pipeline)
    return verdict


def _stored(pipeline: Pipeline) -> dict[str, int]:
    answer = pipeline.query("SELECT toString(message_id), count() FROM events GROUP BY message_id")
    pairs = (line.split("\t") for line in answer.splitlines())
    return {name: int(rows) for name, rows in pairs}


def _row(event: Event, pipeline: Pipeline) -> dict[str, Any]:
    """The event as the steps' oracles read it."""
    campaign = event.campaign or {}
    return {
        "key": f"{pipeline.tenant_id}/{pipeline.project_id}/v/{event.anonymous_id}".encode(),
        "tenant_id": pipeline.tenant_id,
        "project_id": pipeline.project_id,
        "message_id": event.message_id,
        "event_type": event.event_type,
        "event_name": event.event_name,
        "timestamp": event.timestamp,
        "anonymous_id": event.anonymous_id,
        "user_id": event.user_id,
        "handshake_token": None,
        "client_session_id": None,
        "previous_id": None,
        "properties": event.traits,
        "page_path": event.path,
        "page_referrer": event.referrer,
        "utm_source": campaign.get("source"),
        "utm_medium": campaign.get("medium"),
        "utm_campaign": campaign.get("name"),
        "source_partition": 0,
        "source_offset": 0,
        "device_type": "",
        "country_code": "",
        "channel_type": "",
        "is_bot": False,
    }


def _judge_sessions(verdict: Verdict, pipeline: Pipeline, rows: Iterable[dict[str, Any]]) -> None:
    folded = all_sessions(rows, rules(pipeline.settings).sessions, {pipeline.project_id: frozenset({CONVERSION})})
    expected = {row["session_id"]: tuple(row[name] for name in _SESSION) for row in folded.values()}
    found = {row["session_id"]: tuple(row[name] for name in _SESSION) for row in _rows(pipeline, "sessions", _SESSION)}
    verdict.sessions = len(found)
    verdict.wrong_sessions = _differ(expected, found)


def _judge_identities(verdict: Verdict, pipeline: Pipeline, rows: Iterable[dict[str, Any]]) -> None:
    claims = [claim for row in rows if (claim := claim_of(row))]
    folded = identities_of(claims, ()).values()
    expected = {row["anonymous_id"] + " " + row["user_id"]: tuple(row[name] for name in _IDENTITY) for row in folded}
    found = {
        row["anonymous_id"] + " " + row["user_id"]: tuple(row[name] for name in _IDENTITY)
        for row in _rows(pipeline, "identities", _IDENTITY)
    }
    verdict.identities = len(found)
    verdict.wrong_identities = _differ(expected, found)


def _judge_dead_letters(
    verdict: Verdict, pipeline: Pipeline, clients: Clients, poison: Mapping[tuple[int, int], tuple[bytes, str]]
) -> None:
    """Of poisoned records by their place, of refused events by the message id in their payload; each once."""
    columns = ("stage", "reason", "source_partition", "source_offset", "payload_hash", "refused_id", "letters")
    answer = pipeline.query(
        "SELECT stage, reason, source_partition, source_offset, lower(hex(SHA256(payload))), "
        "if(stage = 'collector', JSONExtractString(payload, 'messageId'), ''), count() FROM dead_letters FINAL "
        "GROUP BY ALL"
    )
    letters = [dict(zip(columns, line.split("\t"), strict=True)) for line in answer.splitlines()]
    verdict.dead_letters = sum(int(letter["letters"]) for letter in letters)
    expected = {f"{place}": (_sha256(payload), reason, 1) for place, (payload, reason) in poison.items()}
    found: dict[str, Any] = {}
    refused: dict[str, int] = {}
    for letter in letters:
        if letter["stage"] == "collector":
            refused[letter["refused_id"]] = refused.get(letter["refused_id"], 0) + int(letter["letters"])
        else:
            place = int(letter["source_partition"]), int(letter["source_offset"])
            found[f"{place}"] = letter["payload_hash"], letter["reason"], int(letter["letters"])
    verdict.wrong_dead_letters = _differ(expected, found)
    verdict.wrong_dead_letters += [f"not kept: {name}" for name in sorted(clients.refused - refused.keys())]
    verdict.wrong_dead_letters += [f"twice: {name}" for name, times in sorted(refused.items()) if times > 1]
    unknown = refused.keys() - clients.refused - clients.unsure_refused
    verdict.wrong_dead_letters += [f"unknown: {name}" for name in sorted(unknown)]


def _sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def _rows(pipeline: Pipeline, table: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a table of upserts, times in ms, as JSON gives them."""
    times = {"started_at", "ended_at", "linked_at", "first_linked_at"}
    columns = ", ".join(f"toUnixTimestamp64Milli({name}) AS {name}" if name in times else name for name in names)
    answer = pipeline.query(
        f"SELECT {columns} FROM {table} FINAL FORMAT JSONEachRow "
        "SETTINGS output_format_json_quote_64bit_integers = 0, enable_named_columns_in_function_tuple = 0"
    )
    return [json.loads(line) for line in answer.splitlines()]


def _differ(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What is missing, too much, or otherwise than it should be."""
    names = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    return [f"{name}: {found.get(name)} instead of {expected.get(name)}" for name in names]


def _ledger(pipeline: Pipeline) -> dict[str, Any]:
    try:
        text = pipeline.run("sinks", "ledger", "--json", timeout_s=600)
    except CommandFailedError as error:
        text = str(error).split("\n", 1)[1]
    found: dict[str, Any] = json.loads(text.splitlines()[0])
    return found
