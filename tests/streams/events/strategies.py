"""JSON texts as nobody would write them, and rows that hold them."""

import json
import string
from typing import Any

from hypothesis import strategies as st

USER_AGENTS = (
    "",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 11; KFTUWI) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/152.0.0.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/141.0.0.0 Safari/537.36",
    "python-requests/2.32.3",
    "analytics-python/2.3.4",
    "\x00\ufffd\U0001f600",
)
ADDRESSES = ("", "8.8.8.8", "::ffff:8.8.8.8", "2001:4860:4860::8888", "10.0.0.1", "0.0.0.0", "300.1.1.1", "\x00", "é")
EVENT_TYPES = ("track", "identify", "page", "screen", "group", "alias")
_NAMES = (
    *("page", "library", "campaign", "path", "url", "title", "referrer", "name", "version", "source", "medium"),
    *("channel_type", "channelType", "external_id", "externalId", "handshake_token", "handshakeToken", "userAgent"),
)
_URLS = (
    "https://shop.example.com/a/b?utm_source=x&utm_medium=y%20z&utm_campaign=%F0%9F%98%80",
    "https://shop.example.com?utm_source=&utm_source=second#utm_medium=no",
    "/relative?utm_medium=%ff%zz+",
    "//host",
    "mailto:someone",
    "https://[",
    "https://app.example/#/a?UTM_Source=x&amp;utm_medium=y",
)
_LIKELY = (
    *(*_URLS, "whatsapp", "WhatsApp", "analytics.js", "Analytics.JS", "analytics-python", "next-1.84.3", ""),
    *(
        "PT.40017735512240011111",
        "$direct",
        "iOS",
        "Android",
        "Windows",
        "17.2",
        "15.0.0",
        "iPad13,4",
        "MIBOX4",
        "ios",
        "tablet",
    ),
)

# Surrogates are drawn on purpose: JSON can spell a lone one, UTF-8 cannot.
texts = st.one_of(st.sampled_from(_LIKELY), st.text(max_size=8), st.text('\ud800\udc00\x00\\"/u\n', max_size=4))


def _escaped(text: str) -> str:
    """Every character as an escape of 16-bit units."""
    units = text.encode("utf-16-be", "surrogatepass").hex()
    return '"' + "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)) + '"'


def _string(text: str, style: int) -> str:
    if style == 0:
        return _escaped(text)
    if style == 1 and not any("\ud800" <= character <= "\udfff" for character in text):
        return json.dumps(text, ensure_ascii=False)
    return json.dumps(text)


_styles = st.sampled_from((0, 1, 2, 2, 2))
_strings = st.builds(_string, texts, _styles)
_names = st.builds(_string, st.one_of(st.sampled_from(_NAMES), st.sampled_from(_NAMES), texts), _styles)
_numbers = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(("-0", "1e999", "-1E+400", "0.0", "1" + "0" * 5_000, "18446744073709551616")),
)
_scalars = st.one_of(st.sampled_from(("null", "true", "false")), _numbers, _strings, _strings)
_spaces = st.sampled_from(("", "", "", " ", "\n\t"))


def _array(items: list[str], space: str) -> str:
    return f"[{space}{f',{space}'.join(items)}{space}]"


def _object(members: list[tuple[str, str]], space: str) -> str:
    return f"{{{space}{f',{space}'.join(f'{name}{space}:{value}' for name, value in members)}{space}}}"


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(_object, st.lists(st.tuples(_names, values), max_size=6), _spaces)


json_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.builds(_array, st.lists(inner, max_size=3), _spaces), _objects(inner)),
    max_leaves=12,
)
"""Any JSON text: names repeat, are escaped, stand at any depth; numbers have any size."""

wild_objects = _objects(json_values)


@st.composite
def likely_contexts(draw: st.DrawFn) -> str:
    """A context as SDKs write it, with some members of another type, or twice."""

    def some(*names: str) -> str:
        members = []
        for name in draw(st.lists(st.sampled_from(names), max_size=6)):
            value = draw(json_values if draw(st.integers(0, 5)) == 0 else _strings)
            members.append((json.dumps(name), value))
        return _object(members, draw(_spaces))

    nested = {
        "page": ("path", "url", "title", "referrer", "search"),
        "library": ("name", "version"),
        "campaign": ("source", "medium", "name", "term"),
        "os": ("name", "version"),
        "device": ("type", "model", "name"),
        "userAgentData": ("platform", "platformVersion", "model", "mobile"),
    }
    members = [(json.dumps(name), some(*names)) for name, names in nested.items() if draw(st.integers(0, 4))]
    flat = some(*_NAMES[11:17])[1:-1].strip()
    body = _object(draw(st.permutations(members)), draw(_spaces))
    return f"{body[:-1]}{',' if members and flat else ''}{flat}}}"


@st.composite
def broken(draw: st.DrawFn) -> str:
    """A JSON object cut off, with something put into it, or no JSON at all."""
    text = draw(st.one_of(wild_objects, likely_contexts()))
    place = draw(st.integers(0, len(text)))
    rest = draw(st.integers(place, len(text)))
    noise = draw(st.text(string.printable + "\x00\ufeff", max_size=3))
    return draw(st.sampled_from((text[:place], text[:place] + noise + text[rest:], noise)))


def rows(objects: st.SearchStrategy[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Chunks of up to 3 rows of raw_events, as far as enrichment reads them, and a number for each row."""
    row = st.fixed_dictionaries(
        {
            "event_type": st.sampled_from(EVENT_TYPES),
            "user_agent": st.sampled_from(USER_AGENTS),
            "ip_address": st.sampled_from(ADDRESSES),
            "origin": st.sampled_from(("", "whatsapp", "handshake")),
            "context": objects,
            "properties": objects,
        }
    )
    return st.lists(row, max_size=3).map(lambda found: [{"number": n, **row} for n, row in enumerate(found)])
