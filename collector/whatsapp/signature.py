"""Whether a body was signed with an app's secret. Pure."""

import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Final

_PREFIX: Final = "sha256="
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


def is_signed(body: bytes, header: str, secrets: Sequence[bytes]) -> bool:
    """Whether `header`, `sha256=<hex>`, is the HMAC of the bytes as they came, by one of the secrets.

    Meta signs its bodies with all that is no ASCII written as `\\uXXXX`, and sends just that. Something on the way may
    have unescaped it: then that form is tried too. An HMAC over either proves the sender.
    """
    if not header.startswith(_PREFIX):
        return False
    given = header[len(_PREFIX) :].strip().lower().encode("ascii", "replace")
    # No early end: how long it takes tells nothing of which secret is the right one.
    return bool(sum(hmac.compare_digest(_digest(secret, form), given) for form in _forms(body) for secret in secrets))


def sign(body: bytes, secret: bytes) -> str:
    """The header of a body."""
    return _PREFIX + _digest(secret, body).decode()


def _digest(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, body, "sha256").hex().encode()


def _forms(body: bytes) -> Iterator[bytes]:
    yield body
    if body.isascii():
        return
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return
    yield _NOT_ASCII.sub(lambda match: _escaped(match[0]), text).encode()


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
