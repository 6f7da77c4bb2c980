"""Finding the events of a batch whose JSON is broken somewhere, so that one bad event does not cost its neighbours."""

import re
from typing import Final

import msgspec

# Each finds the next token and skips what stands before it, strings as wholes; a quote as the token is a string without
# an end. Quantifiers are possessive: nothing is ever tried in a second way.
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_NEXT_TOKEN: Final = re.compile(rb'(?:[^"{}\[\],:]++|' + _STRING + rb')*+([{}\[\],:"])', re.DOTALL).match
_NEXT_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb')*+([{}\[\]"])', re.DOTALL).match
_OPENS: Final = {b"}": b"{", b"]": b"["}
_BATCH: Final = b'"batch"'
# What encoders write for numbers that JSON does not have; strings are matched to be skipped.
_NO_NUMBERS: Final = re.compile(_STRING + rb"|[+-]?\b(?:NaN|nan|Infinity|Inf|inf)\b", re.DOTALL)
# Each costs half a microsecond during which nobody else is served; a body of nothing but brackets has half a million.
# A batch of the largest number of events, each with ten objects in it, has 55,000.
TOKENS_MAX: Final = 100_000
# Before a write key is known, everybody may take this time: an SDK's batch of 100 such events has 2,200.
STRANGERS_TOKENS_MAX: Final = 20_000


class Salvaged:
    """The members of the outer object, and the elements of its `batch`, each as the bytes that stood there.

    Names keep their quotes. elements is None when there is no batch.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._name = b""
        self._member_start = 0
        self._element_start = 0
        self.members: dict[bytes, bytes] = {}
        self.elements: list[bytes] | None = None

    @property
    def is_in_batch(self) -> bool:
        """Whether the member that is being read is the batch."""
        return self.elements is not None and self._name == _BATCH

    def opened(self, bracket: bytes, depth: int, end: int) -> None:
        """A bracket ending at `end` opens level `depth`; the outer object is level 1."""
        if depth == 1:
            self._member_start = end
        elif depth == 2 and bracket == b"[" and self._name == _BATCH:
            self.elements, self._element_start = [], end

    def separated(self, token: bytes, depth: int, start: int, end: int) -> None:
        """A colon or comma, or the bracket that closes level `depth`, stands at start:end."""
        if depth == 1 and token == b":":
            self._name = self._body[self._member_start : start].strip()
            self._member_start = end
        elif depth == 1:
            self.members[self._name] = self._body[self._member_start : start].strip()
            self._member_start = end
        elif depth == 2 and token != b":" and self.is_in_batch:
            assert self.elements is not None
            if element := self._body[self._element_start : start].strip():
                self.elements.append(element)
            self._element_start = end


def is_json_but_for_numbers(body: bytes) -> bool:
    """Whether a text is a JSON object once its NaN and Infinity, outside of strings, are null."""
    mended = _NO_NUMBERS.sub(lambda match: match[0] if match[0].startswith(b'"') else b"null", body)
    try:
        msgspec.json.decode(mended, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return False
    return True


def salvage(body: bytes, tokens_max: int = TOKENS_MAX) -> Salvaged | None:
    """Split a body by its brackets and strings alone; None when these do not match, or are too many.

    What stands between them is not looked at: an element may be anything, also nothing like JSON.
    """
    if body.lstrip()[:1] != b"{":
        return None
    salvaged = Salvaged(body)
    brackets: list[bytes] = []
    end = 0
    for _ in range(tokens_max):
        depth = len(brackets)
        next_token = _NEXT_TOKEN if depth < 2 or (depth == 2 and salvaged.is_in_batch) else _NEXT_BRACKET
        match = next_token(body, end)
        if match is None or (token := match[1]) == b'"':
            return None
        start, end = match.span(1)
        if token in b"{[":
            brackets.append(token)
            salvaged.opened(token, depth + 1, end)
            continue
        salvaged.separated(token, depth, start, end)
        if token in b"}]" and brackets.pop() != _OPENS[token]:
            return None
        if not brackets:
            return None if body[end:].strip() else salvaged
    return None
