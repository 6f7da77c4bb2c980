"""A body counts when it was signed, as the bytes that came, with one of the app's secrets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.whatsapp.signature import is_signed, sign
from tests.collector.whatsapp.payloads import SECRET, change, contact, hook, signature, text

KEY = SECRET.encode()
BODY = hook(change(contacts=[contact()], messages=[text("one", "¡Olá! 📦 https://a.example/b")]))


def header_of(body: bytes, secret: str = SECRET) -> str:
    return signature(body, secret)["X-Hub-Signature-256"]


def test_signed_bytes_count_with_each_live_secret_and_no_other() -> None:
    assert is_signed(BODY, header_of(BODY), [KEY])
    assert is_signed(BODY, header_of(BODY, "before"), [KEY, b"before"])
    assert not is_signed(BODY, header_of(BODY, "another app's"), [KEY, b"before"])
    assert not is_signed(BODY, header_of(BODY), [])
    assert is_signed(BODY, sign(BODY, KEY), [KEY])


@pytest.mark.parametrize("header", ["", "sha256=", "sha256=00", "SHA256=" + "0" * 64, "sha1=" + "0" * 40, "ü" * 71])
def test_a_header_that_is_no_signature_is_refused(header: str) -> None:
    assert not is_signed(BODY, header, [KEY])


def test_hex_in_capitals_is_the_same() -> None:
    assert is_signed(BODY, "sha256=" + header_of(BODY)[7:].upper(), [KEY])


@given(place=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_one_changed_bit_is_refused(place: int, bit: int) -> None:
    changed = bytearray(BODY)
    changed[place] ^= 1 << bit
    assert not is_signed(bytes(changed), header_of(BODY), [KEY])


# Python escapes U+007F too, which Meta need not.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"))


@given(st.recursive(
    TEXTS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/é"), inner, max_size=3),
))  # fmt: skip
def test_a_body_that_something_unescaped_on_the_way_is_still_known(value: object) -> None:
    """The HMAC is over the form with escapes; only that, and the bytes that came, prove the sender."""
    escaped = json.dumps(value).encode()
    unescaped = json.dumps(value, ensure_ascii=False).encode()
    assert is_signed(unescaped, header_of(escaped), [KEY])
    assert is_signed(escaped, header_of(escaped), [KEY])


@pytest.mark.parametrize("indent", [None, 1])
def test_a_body_that_was_written_anew_is_refused(indent: int | None) -> None:
    anew = json.dumps(json.loads(BODY), indent=indent).encode()
    assert json.loads(anew) == json.loads(BODY)
    assert not is_signed(anew, header_of(BODY), [KEY])


def test_bytes_that_are_no_text_are_refused() -> None:
    assert not is_signed(b"\xff\xfe", header_of(b"x"), [KEY])
    assert is_signed(b"\xff\xfe", header_of(b"\xff\xfe"), [KEY])
