"""The fold, row by row and slow: signals of one customer to rows. The reference of the property tests.

Written from the table of states alone, over a timeline of everything that happens, silence included.
"""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final

from streams.conversations.episodes import EpisodeRules
from streams.conversations.signal import Signal

NAMESPACE: Final = uuid.UUID("6e3c6f6a-70d3-5a3c-9d26-7461696c7921")
RANKS: Final = {
    "started": 0, "customer": 1, "queue": 2, "to_bot": 2, "to_agent": 2, "bot": 3, "unknown": 4, "template": 4,
    "agent": 5, "ended": 6,
}  # fmt: skip
LETTERS: Final = {
    "started": "s", "customer": "c", "queue": "q", "to_bot": "b", "to_agent": "a", "outbound": "o", "ended": "e",
}  # fmt: skip
TRUST: Final = {"": 0, "echo": 1, "told": 2}
_OPENS: Final = {"customer", "started", "queue", "to_bot", "to_agent"}
_TO: Final = {
    ("queued", "bot"): "bot_active", ("queued", "agent"): "agent_active", ("queued", "to_bot"): "bot_active",
    ("queued", "to_agent"): "agent_active", ("bot_active", "agent"): "agent_active", ("bot_active", "queue"): "queued",
    ("bot_active", "to_agent"): "agent_active", ("agent_active", "to_bot"): "bot_active",
    ("agent_active", "queue"): "queued",
}  # fmt: skip
Row = dict[str, Any]


def timeline(signals: Iterable[Signal], rules: EpisodeRules) -> list[tuple[int, int, str, str, list[Signal]]]:
    """Time, rank, name and kind of each fact, and the signals that told of it, in their order."""
    told: dict[str, list[Signal]] = {}
    for signal in signals:
        if not signal.is_failed and signal.kind in LETTERS:
            told.setdefault(LETTERS[signal.kind] + signal.fact_id, []).append(signal)
    found = []
    for name, of_fact in told.items():
        kind = of_fact[0].kind
        if kind == "outbound":
            authors = [(TRUST[one.trust], RANKS[one.sender], one.sender) for one in of_fact if one.sender]
            templates = any(one.is_template for one in of_fact)
            kind = max(authors)[2] if authors else "template" if templates else rules.default_sender
        found.append((min(one.at for one in of_fact), RANKS[kind], name, kind, of_fact))
    return sorted(found, key=lambda entry: entry[:3])


def rows(
    signals: Iterable[Signal],
    rules: EpisodeRules,
    customer: str = "t/p/1/c",
    now: int | None = None,
    links: dict[str, Signal] | None = None,
) -> list[Row]:
    """The rows of a customer, oldest first, as far as the fold decides them."""
    done: list[Row] = []
    row: Row | None = None
    for at, _, name, kind, told in timeline(signals, rules):
        if row is not None and at - row["last_activity_at"] > rules.inactivity_ms:
            _end(row, row["last_activity_at"] + rules.inactivity_ms, "inactivity")
            row = None
        elif row is not None and row["current_state"] != "resolved" and at - row["started_at"] > rules.episode_ms:
            _end(row, row["last_activity_at"], "inactivity")
            row = None
        thanks = (
            row is not None
            and row["current_state"] == "resolved"
            and kind == "customer"
            and at - row["resolved_at"] <= rules.grace_ms
        )
        if kind in _OPENS and not thanks and (row is None or row["current_state"] == "resolved"):
            row = _new(at, kind, any(one.is_standby for one in told), rules)
            done.append(row)
        if row is not None:
            _step(row, at, kind)
            _entry(row, told, (links or {}).get(name[1:]))
    if now is not None and done and now - done[-1]["last_activity_at"] > rules.inactivity_ms:
        _end(done[-1], done[-1]["last_activity_at"] + rules.inactivity_ms, "inactivity")
    counts: dict[int, int] = {}
    for one in done:
        cell = one["started_at"] // 1_800_000
        number = counts[cell] = counts.get(cell, -1) + 1
        one["conversation_id"] = str(uuid.uuid5(NAMESPACE, f"{customer}/{cell}/{number}"))
    return [_finished(one) for one in done]


def _new(at: int, kind: str, standby: bool, rules: EpisodeRules) -> Row:
    state = {"queue": "queued", "to_bot": "bot_active", "to_agent": "agent_active"}.get(kind, rules.first_state)
    state = "bot_active" if standby else state
    return {
        "current_state": state, "started_at": at, "first_response_at": None, "resolved_at": None, "resolved_reason": "",
        "message_count": 0, "bot_message_count": 0, "agent_message_count": 0, "customer_message_count": 0,
        "queued_at": None, "first_agent_response_at": None, "handoff_count": 0, "last_activity_at": at,
        "user_id": None, "ctwa_clid": None, "ad_id": None, "handshake_token": None,
        "spent": {}, "since": at, "wait": None if state == "bot_active" else at, "asked": None,
    }  # fmt: skip


def _end(row: Row, at: int, reason: str) -> None:
    if row["current_state"] != "resolved":
        row.update(current_state="resolved", resolved_at=at, resolved_reason=reason)


def _step(row: Row, at: int, kind: str) -> None:
    state = row["current_state"]
    row["spent"][state] = row["spent"].get(state, 0) + at - row["since"]
    row["since"] = at
    if kind in ("customer", "bot", "agent", "unknown", "template"):
        row["message_count"] += 1
        if f"{kind}_message_count" in row:
            row[f"{kind}_message_count"] += 1
    if kind == "template":
        return
    row["last_activity_at"] = at
    if state == "resolved":
        return
    if kind == "ended":
        _end(row, at, "ended")
        return
    if kind == "customer" and row["asked"] is None:
        row["asked"] = at
    if kind in ("bot", "agent") and row["first_response_at"] is None:
        row["first_response_at"] = at
    if kind == "agent" and row["first_agent_response_at"] is None:
        row["first_agent_response_at"] = at
        row["queued_at"] = row["wait"] if row["wait"] is not None else at if row["asked"] is None else row["asked"]
    if kind in ("bot", "agent"):
        row["asked"] = None
    moved = _TO.get((state, kind), state)
    row["handoff_count"] += state == "bot_active" and kind == "queue"
    if kind == "queue" and state != "queued":
        row["wait"] = at
    elif kind in ("agent", "to_bot") or (kind == "bot" and state == "queued"):
        row["wait"] = None
    elif kind == "to_agent" and row["wait"] is None and state != "agent_active":
        row["wait"] = at
    row["current_state"] = moved


def _entry(row: Row, told: Sequence[Signal], link: Signal | None) -> None:
    users = [one.user_id for one in told if one.user_id]
    row["user_id"] = max(users) if users else row["user_id"]
    clid, ad = max(one.ctwa_clid for one in told), max(one.ad_id for one in told)
    if not (row["ctwa_clid"] or row["ad_id"]) and (clid or ad):
        row.update(ctwa_clid=clid or None, ad_id=ad or None)
    if link is not None and row["handshake_token"] is None:
        row["handshake_token"] = link.handshake_token


def _finished(row: Row) -> Row:
    spent = row.pop("spent")
    for name in ("since", "wait", "asked"):
        del row[name]
    row["entry_source"] = (
        "handshake" if row["handshake_token"] else "ctwa" if row["ctwa_clid"] or row["ad_id"] else "organic"
    )
    states = {"queued_seconds": "queued", "bot_seconds": "bot_active", "agent_seconds": "agent_active"}
    return row | {name: spent.get(state, 0) // 1000 for name, state in states.items()}
