"""Handshake tokens: `F1RBD-DB1B9` names a visitor's session; who has the secret can tell it from any other word. Pure.

Fifty bits: a body of 40, keyed and so the same for the same click within an hour, and a tag of 10 over the body. Spelt
in Crockford's base32, which has no I, L, O, U: people read tokens out, type them anew and change what surrounds them.
"""

import hmac
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

HOUR_MS: Final = 3_600_000
_TEXT_CHARS_MAX: Final = 1_000  # of a message are looked at
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {symbol: value for value, symbol in enumerate(_ALPHABET)}
_BODY_BYTES: Final = 5
_TAG_BITS: Final = 10
_SYMBOL_BITS: Final = 5
_HALF: Final = 5  # symbols before the dash, and behind it
_CANDIDATE: Final = re.compile(r"(?<![0-9A-Z])([0-9A-Z]{5})[ \-_.]?([0-9A-Z]{5})(?![0-9A-Z])")
_DASHES: Final = re.compile("[\u2010-\u2015\u2212]")
_MISREAD: Final = str.maketrans("OIL", "011")
_INVISIBLE: Final = dict.fromkeys(
    [0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x206A), 0xFEFF]
)


class Sought(NamedTuple):
    """What a text holds. token: the first whose tag is right, as it was minted, ''. is_wrong: there is none, but what
    looks like one: two words of five letters do not, without a digit among them."""

    token: str
    is_wrong: bool


NOTHING: Final = Sought("", False)


def tenant_key(secret: bytes, tenant_id: str) -> bytes:
    """The key of a tenant's tokens: its projects understand each other's."""
    return hmac.digest(secret, b"tally-handshake-v1:" + tenant_id.encode(), "sha256")


def mint(key: bytes, project_id: str, visitor: str, session: str, number: str, hour: int) -> str:
    """The token of a visitor's session for a business number, '' where there is none; `hour`: since 1970."""
    name = "\0".join(("body", project_id, visitor, session, number, str(hour)))
    body = hmac.digest(key, name.encode(), "sha256")[:_BODY_BYTES]
    return _spell(body, _tag(key, body))


def find(keys: Sequence[bytes], text: str) -> Sought:
    """The first token in the first 1,000 characters whose tag is right by one of the keys."""
    is_wrong = False
    for symbols, has_digit in _candidates(text):
        bits = 0
        for symbol in symbols:
            bits = bits << _SYMBOL_BITS | _VALUES[symbol]
        body, tag = (bits >> _TAG_BITS).to_bytes(_BODY_BYTES, "big"), bits & (1 << _TAG_BITS) - 1
        token = _spell(body, tag)
        # With every key, whichever fits: time tells nobody how near a guess was.
        if sum(hmac.compare_digest(_spell(body, _tag(key, body)), token) for key in keys):
            return Sought(token, False)
        is_wrong = is_wrong or has_digit
    return Sought("", is_wrong)


def _candidates(text: str) -> Iterator[tuple[str, bool]]:
    """What is spelt like a token: its symbols, and whether a digit stood among them."""
    plain = unicodedata.normalize("NFKC", text[:_TEXT_CHARS_MAX]).translate(_INVISIBLE).upper()
    for match in _CANDIDATE.finditer(_DASHES.sub("-", plain)):
        written = match[1] + match[2]
        symbols = written.translate(_MISREAD)
        if "U" not in symbols:
            yield symbols, not written.isalpha()


def _tag(key: bytes, body: bytes) -> int:
    return int.from_bytes(hmac.digest(key, b"tag\0" + body, "sha256")[:2], "big") >> 16 - _TAG_BITS


def _spell(body: bytes, tag: int) -> str:
    bits = int.from_bytes(body, "big") << _TAG_BITS | tag
    symbols = 2 * _HALF
    text = "".join(_ALPHABET[bits >> _SYMBOL_BITS * place & 31] for place in range(symbols - 1, -1, -1))
    return f"{text[:_HALF]}-{text[_HALF:]}"
