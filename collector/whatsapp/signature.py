"""Whether a body was signed with an app's secret. Pure."""

import hmac
from collections.abc import Iterator, Sequence
from typing import Final

_PREFIX: Final = "sha256="
_KEPT_MAX: Final = 4_096


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
    yield text.translate(_ESCAPES).encode()


class _Escapes(dict[int, str]):
    """Characters, as `str.translate` asks for them: a body of three MB, unsigned, takes a fraction of a second."""

    def __missing__(self, code: int) -> str:
        if code < 0x10000:
            escaped = f"\\u{code:04x}"
        else:
            escaped = f"\\u{0xD7C0 + (code >> 10):04x}\\u{0xDC00 | code & 0x3FF:04x}"
        if len(self) < _KEPT_MAX:
            self[code] = escaped
        return escaped


_ESCAPES: Final = _Escapes({code: chr(code) for code in range(128)})
