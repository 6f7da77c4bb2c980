"""One conversation, from a page to its end: a page, a link to WhatsApp, a webhook, a bot, an agent."""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from docker.local.demo.senders import USER_AGENT, SendFailedError, Sent

APP: Final = "demo"
NUMBER: Final = "900000000000390"
HANDSHAKE_SECRET: Final = "demo-handshake-secret"
_APP_SECRET: Final = "demo-app-secret"
_PHONE: Final = "442079460390"
_VERIFY_TOKEN: Final = "demo-verify-token"
WHATSAPP_SETTINGS: Final = {
    "apps": [APP],
    "numbers": {NUMBER: {"phone": _PHONE, "default_sender": "unknown"}},
}
"""Those of the demo's project."""


def write_apps_file(path: Path) -> Path:
    """The file of secrets, for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {APP: {"app_secrets": [_APP_SECRET], "verify_token": _VERIFY_TOKEN}}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
    path.chmod(0o600)
    return path


def customer_of(run: str) -> str:
    """The customer that WhatsApp names in this run: as its user ids look, of a country and digits."""
    return f"GB.{int(run, 16):020}"


def send_chat(url: str, write_key: str, run: str) -> Sent:
    """The conversation; its customer's message is posted twice, as WhatsApp repeats it. Raises SendFailedError."""
    visitor, customer, user = f"demo-{run}-chat", customer_of(run), f"user-{run}-chat"
    basic = {"Authorization": "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()}
    now = int(time.time())

    def call(path: str, **members: Any) -> None:
        _post(f"{url}/v1/{path}", json.dumps(members).encode(), basic)

    def told(event: str, after_s: int, **properties: str) -> None:
        """What the chat platform's own server sends."""
        context = {"channel_type": "whatsapp", "externalId": customer}
        call("track", event=f"Live Chat {event}", userId=user, timestamp=now + after_s, context=context,
             properties={"phone_number_id": NUMBER} | properties)  # fmt: skip

    context = {"userAgent": USER_AGENT, "ip": "81.2.69.142"}
    page = {"url": "https://shop.example/returns?utm_source=mail", "title": "Returns"}
    call("page", name="Returns", anonymousId=visitor, context=context, properties=page)
    minted = _post(f"{url}/v1/handshake", json.dumps({"anonymousId": visitor, "context": context}).encode(), basic)
    # Somebody has changed the text and typed the token anew.
    typed = f"hello, order 17 please! {minted['token'].lower().replace('-', ' ')}"
    asked = {"from_user_id": customer, "id": f"wamid.{run}-asked", "type": "text", "text": {"body": typed}}
    hook = _hook(customer, now + 1, messages=[asked])
    for _ in range(2):
        _webhook(url, hook)
    told("Message Received", 3, sender="bot", message_id=f"wamid.{run}-bot")
    told("Conversation Assigned", 5, to="queue")
    told("Conversation Assigned", 12, to="agent")
    told("Message Received", 15, sender="agent", message_id=f"wamid.{run}-agent")
    read = {"recipient_user_id": customer, "id": f"wamid.{run}-agent", "status": "read"}
    _webhook(url, _hook(customer, now + 17, statuses=[read]))
    told("Conversation Ended", 20, reason="solved")
    return Sent("WhatsApp, and a chat platform", 10, repeats=1)


def _hook(customer: str, at_s: int, **items: list[dict[str, Any]]) -> bytes:
    """A webhook's body."""
    timed = {name: [item | {"timestamp": str(at_s)} for item in some] for name, some in items.items()}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": _PHONE, "phone_number_id": NUMBER},
        "contacts": [{"profile": {"name": "Demo"}, "user_id": customer}],
    } | timed
    entry = {"id": "800000000000390", "changes": [{"value": value, "field": "messages"}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def _webhook(url: str, body: bytes) -> None:
    digest = hmac.new(_APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
    _post(f"{url}/v1/whatsapp/{APP}", body, {"X-Hub-Signature-256": f"sha256={digest}"})


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} | dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except OSError as error:
        raise SendFailedError(f"{url}: {error}") from None


def conversation(query: Callable[[str], str], run: str) -> str:
    """The conversation as its row has it, and the session that it came from; '' until both are there."""
    return query(
        "SELECT current_state, resolved_reason, started_at, first_response_at, queued_at, first_agent_response_at, "
        "resolved_at, message_count, customer_message_count, bot_message_count, agent_message_count, handoff_count, "
        "queued_seconds, bot_seconds, agent_seconds, entry_source, handshake_token, c.user_id AS user_id, "
        "linked_anonymous_id, linked_session_id, s.entry_page AS session_entry_page, s.event_count AS session_events "
        "FROM conversations_current AS c "
        "INNER JOIN sessions_current AS s ON toString(s.session_id) = c.linked_session_id "
        f"WHERE whatsapp_phone_id = '{customer_of(run)}' AND current_state = 'resolved' FORMAT Vertical"
    )
