"""Ids that name nobody: what programs send when they know no id, so that strangers share them.

Events with such ids are kept as sent; nobody is linked by them, and strangers are not one visitor because of them. A
project may have further ones of its own: `placeholder_ids` of its settings.
Segment blocks `^[0-]*$`, `-1`, `null` and `anonymous` by default; the other words are what languages write for nothing.
"""

from typing import Final

WORDS: Final = (
    *("-1", "null", "(null)", "<null>", "nil", "none", "undefined", "nan", "[object object]", "true", "false"),
    *("anonymous", "guest", "unknown", "not_authenticated", "distinct_id", "distinctid"),
)
AROUND: Final = (
    " \t\n\v\f\r\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
    "\"'"
)
"""Characters that do not count at the ends of a word: Unicode's white space, and quotes."""
PATTERN: Final = f"^[0\\-{AROUND}]*$"
"""What is nothing but zeros, dashes, blanks and quotes, the nil UUID among them; a regular expression."""

_ZEROS: Final = "0-" + AROUND
_WORDS: Final = frozenset(WORDS)
_CHARS_MAX: Final = max(map(len, WORDS))


def word_of(text: str) -> str:
    """What of an id is compared with words."""
    return text.strip(AROUND).lower()


def is_placeholder(text: str, own: frozenset[str] = frozenset()) -> bool:
    """Whether an id names nobody; so does an empty one. own: further words, of its project (`word_of`)."""
    rest = text.strip(_ZEROS)
    # Nothing that `word_of` keeps is shorter than this rest: most ids are spared the comparison by their length.
    if not rest or (len(rest) <= _CHARS_MAX and word_of(text) in _WORDS):
        return True
    return bool(own) and word_of(text) in own
