"""The member `whatsapp` of a project's settings: its business numbers, and how its conversations are told apart.

    {"whatsapp": {
        "apps": ["shop"],                  webhooks whose messages reach it, by their names at the collector
        "numbers": {"900000000000001": {   by phone_number_id
            "phone": "12025550180",
            "default_sender": "unknown",   who writes what nobody says: bot, agent, unknown
            "echo_sender": "agent",        who writes in the WhatsApp Business app: bot, agent
            "standby_sender": "bot",       who writes while another responder has the conversation: bot, agent
            "first_state": "queued",       of a conversation that a customer's message opens: queued, bot_active
            "source": "webhook"}},         whence messages are known: webhook, events (the neutral ones alone)
        "keep": "none",                    texts and media: none, all
        "ids": "plain",                    customers' ids: plain, hashed
        "status_events": "all",            statuses that become events: all, failed
        "token_ttl_s": 86400,              how long a handshake token counts
        "inactivity_s": 86400,             after which silence a conversation is resolved
        "reopen_grace_s": 0,               a customer's message so soon after the end opens no new one
        "text": "Hi! (Ref {token})"}}      what a wa.me link writes

Pure. Readers take any text for a choice, and what they don't know for the default: a newer release's stops nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

DAY_S: Final = 86_400
INACTIVITY_S_MAX: Final = 7 * DAY_S
"""A customer's state stays for this and the lateness bound."""
TOKEN_TTL_S_MAX: Final = 7 * DAY_S
_SENDERS: Final = ("bot", "agent")
_CHOICES_OF_NUMBER: Final[Mapping[str, Sequence[str]]] = {
    "default_sender": (*_SENDERS, "unknown"),
    "echo_sender": _SENDERS,
    "standby_sender": _SENDERS,
    "first_state": ("queued", "bot_active"),
    "source": ("webhook", "events"),
}
_CHOICES: Final[Mapping[str, Sequence[str]]] = {
    "keep": ("none", "all"),
    "ids": ("plain", "hashed"),
    "status_events": ("all", "failed"),
}
_SECONDS: Final[Mapping[str, tuple[int, int]]] = {
    "token_ttl_s": (60, TOKEN_TTL_S_MAX),
    "inactivity_s": (60, INACTIVITY_S_MAX),
    "reopen_grace_s": (0, INACTIVITY_S_MAX),
}
_NUMBERS_MAX: Final = 1_000
_APPS_MAX: Final = 100
_TEXT_CHARS_MAX: Final = 200
_APP: Final = re.compile(r"[a-z0-9_-]{1,50}")
_NUMBER_ID: Final = re.compile(r"[0-9]{1,32}")
_PHONE: Final = re.compile(r"[0-9]{5,20}")


class NumberSettings(msgspec.Struct, frozen=True):
    """Those of one business number."""

    phone: str = ""
    default_sender: str = "unknown"
    echo_sender: str = "agent"
    standby_sender: str = "bot"
    first_state: str = "queued"
    source: str = "webhook"


class WhatsAppSettings(msgspec.Struct, frozen=True):
    """Those of a project."""

    apps: tuple[str, ...] = ()
    numbers: dict[str, NumberSettings] = {}
    keep: str = "none"
    ids: str = "plain"
    status_events: str = "all"
    token_ttl_s: int = DAY_S
    inactivity_s: int = DAY_S
    reopen_grace_s: int = 0
    text: str = "Hi! (Ref {token})"


def check_whatsapp_settings(settings: WhatsAppSettings, members: Mapping[str, Any]) -> None:
    """Raises ValueError naming what may not be written; `members`: what the settings were read of."""
    _check_known("whatsapp", members, WhatsAppSettings)
    for number_id, of_number in members.get("numbers", {}).items():
        _check_known(f"whatsapp.numbers.{number_id}", of_number, NumberSettings)
    if len(settings.apps) > _APPS_MAX or not all(map(_APP.fullmatch, settings.apps)):
        raise ValueError(f"whatsapp.apps: at most {_APPS_MAX}, each of 1 to 50 characters a-z 0-9 _ -")
    if len(settings.numbers) > _NUMBERS_MAX:
        raise ValueError(f"whatsapp.numbers: at most {_NUMBERS_MAX}")
    for number_id, number in settings.numbers.items():
        _check_number(number_id, number)
    _check_choices("whatsapp", settings, _CHOICES)
    for name, (low, high) in _SECONDS.items():
        if not low <= getattr(settings, name) <= high:
            raise ValueError(f"whatsapp.{name}: {low} to {high} seconds")
    if "{token}" not in settings.text or len(settings.text) > _TEXT_CHARS_MAX:
        raise ValueError(f"whatsapp.text: has {{token}} in it, and at most {_TEXT_CHARS_MAX} characters")


def _check_number(number_id: str, number: NumberSettings) -> None:
    where = f"whatsapp.numbers.{number_id}"
    if not _NUMBER_ID.fullmatch(number_id):
        raise ValueError(f"{where}: WhatsApp's phone_number_id is digits; the number itself is its member phone")
    if not _PHONE.fullmatch(number.phone):
        raise ValueError(f"{where}.phone: 5 to 20 digits, with the country's and without +")
    _check_choices(where, number, _CHOICES_OF_NUMBER)


def _check_choices(where: str, settings: msgspec.Struct, choices: Mapping[str, Sequence[str]]) -> None:
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            raise ValueError(f"{where}.{name}: one of {', '.join(allowed)}")


def _check_known(where: str, members: Mapping[str, Any], kind: type[msgspec.Struct]) -> None:
    if unknown := sorted(members.keys() - set(kind.__struct_fields__)):
        names = ", ".join(f"{where}.{name}" for name in unknown)
        raise ValueError(f"no such setting: {names}; there is {', '.join(sorted(kind.__struct_fields__))}")
