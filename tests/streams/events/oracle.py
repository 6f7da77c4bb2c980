"""enrich, one row at a time, in plain Python: what the columnar step is held against."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas.outcomes import BotReason
from streams.events.lookups import PageUrl, Place, UserAgent
from streams.events.lookups.devices import Hints, refine

Row = dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """The functions behind the lookups, without their caches."""

    user_agent: Callable[[str], UserAgent]
    robot: Callable[[str], BotReason]
    place: Callable[[str], Place]
    url: Callable[[str], PageUrl]


def enrich_row(row: Row, sources: Sources) -> Row:
    """The row with the columns that enrich adds, in its order."""
    context, properties = _object(row["context"]), _object(row["properties"])
    page = _page(row["event_type"], _member(context, "page"), properties)
    parsed = sources.url(page["url"] or "")
    campaign, library = _member(context, "campaign"), _member(context, "library")
    channel = _first(context, "channel_type", "channelType")
    token = _first(context, "handshake_token", "handshakeToken")
    if token is None and row["event_type"] == "track":
        token = _first(properties, "handshake_token", "handshakeToken")
    agent, place = refine(sources.user_agent(row["user_agent"]), _hints(context)), sources.place(row["ip_address"])
    added = {
        "page_path": page["path"] or parsed.path,
        "page_url": page["url"] or "",
        "page_title": page["title"] or "",
        "page_referrer": page["referrer"] or "",
        "utm_source": _text(campaign, "source") or parsed.utm_source,
        "utm_medium": _text(campaign, "medium") or parsed.utm_medium,
        "utm_campaign": _text(campaign, "name") or parsed.utm_campaign,
        "channel_type": "whatsapp" if (channel or "").lower() == "whatsapp" else "web",
        "external_id": _first(context, "external_id", "externalId"),
        "handshake_token": token,
        "sdk_version": "/".join(filter(None, (_text(library, "name"), _text(library, "version")))),
        **agent._asdict(),
        **place._asdict(),
    }
    if row["origin"] == "whatsapp":
        customer = added["external_id"] or ""
        is_of_country = (
            customer[2:3] == "." and customer[:2].isascii() and customer[:2].isalpha() and customer[:2].isupper()
        )
        added["country_code"] = customer[:2] if is_of_country else ""
    if not _text(library, "name"):
        added["sdk_version"] = ""
    reason = _reason(row["user_agent"], added["channel_type"], added["sdk_version"], sources.robot(row["user_agent"]))
    return {**row, **added, "bot_reason": reason.value, "is_bot": reason is not BotReason.NONE}


def _page(event_type: str, page: Row, properties: Row) -> dict[str, str | None]:
    found = {name: _text(page, name) for name in ("path", "url", "title", "referrer")}
    if event_type in ("page", "screen"):
        own = {name: text for name in found if (text := _text(properties, name))}
        if "url" in own and own["url"] != found["url"]:
            found["path"] = None
        found |= own
    if found["referrer"] == "$direct":
        found["referrer"] = ""
    return found


def _hints(context: Row) -> Hints:
    system, device, agent = (_member(context, name) for name in ("os", "device", "userAgentData"))
    mobile = agent.get("mobile")
    texts = (
        *(_text(system, "name"), _text(system, "version"), _text(device, "type"), _text(device, "model")),
        *(_text(device, "name"), _text(agent, "platform"), _text(agent, "platformVersion"), _text(agent, "model")),
        str(mobile).lower() if isinstance(mobile, bool) else "",
    )
    return Hints(*(text or "" for text in texts))


def _reason(user_agent: str, channel_type: str, sdk_version: str, robot: BotReason) -> BotReason:
    libraries = ("analytics.js", "rudderlabs javascript sdk", "tally.js")
    in_browser = any(f"{sdk_version.lower()}/".startswith(f"{library}/") for library in libraries)
    if channel_type != "web":
        return BotReason.NONE
    if user_agent == "" and in_browser:
        return BotReason.USER_AGENT_EMPTY
    if robot is BotReason.HTTP_LIBRARY and not in_browser:
        return BotReason.NONE
    return robot


def _object(text: str) -> Row:
    try:
        value = json.loads(text, parse_int=lambda digits: 0)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _member(members: Row, name: str) -> Row:
    value = members.get(name)
    return value if isinstance(value, dict) else {}


def _text(members: Row, name: str) -> str | None:
    value = members.get(name)
    if not isinstance(value, str):
        return None
    return "".join("\ufffd" if 0xD800 <= ord(character) <= 0xDFFF else character for character in value)


def _first(members: Row, *names: str) -> str | None:
    for name in names:
        if text := _text(members, name):
            return text
    return None
