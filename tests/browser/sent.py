"""What a page sent, held against what was stored of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from playwright.sync_api import Request

Event = dict[str, Any]
_NAMES = {"track": "event", "page": "name", "screen": "name"}
_WAY_MAX = timedelta(seconds=60)
_ROUNDING = timedelta(milliseconds=2)


def events_of(posts: Iterable[Request]) -> Iterator[Event]:
    """The events in the bodies of POSTs, each with its type and the time at which it was sent."""
    for post in posts:
        body = json.loads(post.post_data or "{}")
        if "series" in body:  # an SDK's own metrics
            continue
        shared = {name: body[name] for name in ("sentAt",) if name in body}
        yield from ({**shared, **event} for event in body.get("batch", [body]))


def differences(posts: Iterable[Request], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where the rows are not the events of the POSTs, each once, each field as the client put it."""
    sent = {event["messageId"]: event for event in events_of(posts)}
    ids = [row["client_message_id"] for row in rows]
    found = [f"not stored: {sent[lost]}" for lost in sorted(sent.keys() - ids)]
    for row in rows:
        message_id = row["client_message_id"]
        if message_id not in sent or ids.count(message_id) > 1:
            found.append(f"not sent, or stored twice: {row}")
            continue
        event = sent[message_id]
        stored, expected = _facts_of_row(row), _facts_of_event(event)
        found += [
            f"{event['type']}, {name}: sent {expected[name]!r}, stored {stored[name]!r}"
            for name in stored
            if stored[name] != expected[name]
        ]
        found += _wrong_times(event, row)
    return found


def _facts_of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    context = json.loads(row["context"])
    context.pop("tally", None)
    plain = ("event_type", "event_name", "anonymous_id", "user_id", "group_id", "previous_id", "client_session_id")
    return {name: row[name] or "" for name in plain} | {
        "properties": json.loads(row["properties"]),
        "context": context,
        "user_agent": row["user_agent"],
    }


def _facts_of_event(event: Event) -> dict[str, Any]:
    context = event["context"]
    properties = event.get("properties") or {}
    if event["type"] in ("identify", "group"):
        # RudderStack has a user's traits in the context, and nowhere else.
        properties = event.get("traits") or (context.get("traits") if event["type"] == "identify" else {}) or {}
    name = _NAMES.get(event["type"])
    return {
        "event_type": event["type"],
        "event_name": (event.get(name) or properties.get("name") or "") if name else "",
        "anonymous_id": event["anonymousId"],
        "user_id": event.get("userId") or "",
        "group_id": event.get("groupId") or "",
        "previous_id": event.get("previousId") or "",
        "client_session_id": str(context.get("sessionId", "")),
        "properties": properties,
        "context": context,
        "user_agent": context["userAgent"],
    }


def _wrong_times(event: Event, row: Mapping[str, Any]) -> list[str]:
    """The page's clock is this machine's: what is stored is its time, or later by no more than the way here took."""
    client = datetime.fromisoformat(event.get("originalTimestamp") or event["timestamp"])
    sent = datetime.fromisoformat(event["sentAt"]) if "sentAt" in event else client
    is_right = timedelta(0) <= row["timestamp"] - client <= row["received_at"] - sent + _ROUNDING <= _WAY_MAX
    return [] if is_right else [f"{event['type']}, timestamp: sent {client} at {sent}, stored {row['timestamp']}"]
