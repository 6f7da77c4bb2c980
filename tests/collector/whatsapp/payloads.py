"""Invented webhooks, in the shapes and the spelling of Meta's, their signatures, and projects that get them."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, Final

from collector.events.event_ids import EventIds
from collector.projects.directory import ProjectDirectory
from collector.whatsapp.admit import Admitted, Judge
from collector.whatsapp.event import Bound
from collector.whatsapp.keyring import SecretKeyring
from tests.collector.made import LIMITS, RECEIVED_AT, directory_of, project_fields

SECRET: Final = "invented-app-secret"
APP: Final = "shop"
VERIFY: Final = "invented-verify-token"
MASTER: Final = b"invented handshake secret"
IDS_SECRET: Final = b"invented ids secret"
NUMBER: Final = "910000000000077"
OTHER_NUMBER: Final = "910000000000088"
PHONE: Final = "12025550170"
AT: Final = RECEIVED_AT // 1000 - 30  # when items happened, s

Object = dict[str, Any]
CARLA: Final = ("12025550131", "PT.40017735512240011111")
DINO: Final = ("12025550132", "US.40017735512240022222")


def wamid(name: str) -> str:
    """A message's id."""
    return "wamid." + base64.b64encode(f"invented-{name}".encode()).decode()


def message(name: str, kind: str = "text", body: Any = None, who: tuple[str, str] = CARLA, **more: Any) -> Object:
    """One of `messages`; who: (phone, user id), '' for what is not told."""
    phone, user_id = who
    sender = ({"from": phone} if phone else {}) | ({"from_user_id": user_id} if user_id else {})
    own = {} if body is None else {kind: body}
    return sender | {"id": wamid(name), "timestamp": str(AT), "type": kind} | own | more


def text(name: str, body: str, **more: Any) -> Object:
    """A text message."""
    return message(name, "text", {"body": body}, **more)


def status(name: str, kind: str, who: tuple[str, str] = CARLA, **more: Any) -> Object:
    """One of `statuses`."""
    recipient = ({"recipient_id": who[0]} if who[0] else {}) | ({"recipient_user_id": who[1]} if who[1] else {})
    return {"id": wamid(name), "status": kind, "timestamp": str(AT)} | recipient | more


def contact(who: tuple[str, str] = CARLA, name: str = "Carla Ünlü") -> Object:
    """One of `contacts`."""
    return {"profile": {"name": name}, "wa_id": who[0], "user_id": who[1]}


def change(field: str = "messages", number: str = NUMBER, **value: Any) -> Object:
    """One of `changes`."""
    metadata = {"display_phone_number": PHONE, "phone_number_id": number}
    return {"value": {"messaging_product": "whatsapp", "metadata": metadata} | value, "field": field}


def standby(number: str = NUMBER, **held: Any) -> Object:
    """A change of the field `standby`."""
    return change("standby", number, standby=held)


def handover(kind: str, role: str, number: str = NUMBER, who: tuple[str, str] = CARLA, **more: Any) -> Object:
    """A change of the field `messaging_handovers`."""
    value = {
        "recipient": {"display_phone_number": PHONE, "phone_number_id": number},
        "sender": {"phone_number": who[0]},
        "timestamp": str(AT),
        "type": kind,
        kind: {"previous_owner_role": "ai_agent", "new_owner_role": role} | more,
    }
    return {"value": value, "field": "messaging_handovers"}


def hook(*changes: Object) -> bytes:
    """A body with Meta's spelling: what is no ASCII, and slashes, escaped."""
    body = {"object": "whatsapp_business_account", "entry": [{"id": "810000000000001", "changes": list(changes)}]}
    return spelt(body)


def spelt(body: Any) -> bytes:
    """JSON as Meta writes it."""
    return json.dumps(body, separators=(",", ":")).replace("/", "\\/").encode()


def signature(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """The header of a signed body."""
    return {"X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


def apps_file(folder: Path, **apps: Object) -> Path:
    """The file of secrets."""
    path = folder / "apps.json"
    path.write_text(json.dumps(apps or {APP: {"app_secrets": [SECRET], "verify_token": VERIFY}}))
    path.chmod(0o600)
    return path


def whatsapp(*numbers: str, **changes: Any) -> str:
    """A project's settings."""
    of_numbers = {number: {"phone": PHONE, "default_sender": "unknown"} for number in numbers or (NUMBER,)}
    return json.dumps({"whatsapp": {"apps": [APP], "numbers": of_numbers} | changes})


def directory(*numbers: str, **changes: Any) -> ProjectDirectory:
    """The one project, with these numbers."""
    return directory_of(project_fields(settings=whatsapp(*numbers, **changes)))


def admit(
    body: bytes, projects: ProjectDirectory | None = None, app: str = APP, ids_secret: bytes | None = IDS_SECRET
) -> Admitted:
    """What becomes of a body's items."""
    numbers = (projects or directory()).numbers
    judge = Judge(numbers, SecretKeyring([MASTER], ids_secret), EventIds(lambda bits: 0), BOUND)
    return judge.admit(body, app, RECEIVED_AT)


BOUND: Final = Bound(LIMITS.event_bytes_max, LIMITS.times)
