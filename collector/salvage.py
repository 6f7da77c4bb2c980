"""Finding the events of a batch whose JSON is broken somewhere, so that one bad event does not cost its neighbours."""

import re
from typing import Final

# Possessive quantifiers: an unterminated string fails at once instead of being tried in every way.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\],:"]', re.DOTALL)
_OPENS: Final = {b"}": b"{", b"]": b"["}
_BATCH: Final = b'"batch"'


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
        elif depth == 2 and token != b":" and self.elements is not None and self._name == _BATCH:
            if element := self._body[self._element_start : start].strip():
                self.elements.append(element)
            self._element_start = end


def salvage(body: bytes) -> Salvaged | None:
    """Split a body by its brackets and strings alone; None when these do not match.

    What stands between them is not looked at: an element may be anything, also nothing like JSON.
    """
    salvaged = Salvaged(body)
    brackets: list[bytes] = []
    for match in _TOKEN.finditer(body):
        token, start, end = match[0], match.start(), match.end()
        if not brackets and (token != b"{" or body[:start].strip()):
            return None  # the first token does not open an object, or something follows its end
        if token == b'"':
            return None
        if token in b"{[":
            brackets.append(token)
            salvaged.opened(token, len(brackets), end)
        elif token in b":,":
            salvaged.separated(token, len(brackets), start, end)
        elif token in b"}]":
            salvaged.separated(token, len(brackets), start, end)
            if brackets.pop() != _OPENS[token]:
                return None
            if not brackets:
                return None if body[end:].strip() else salvaged
    return None
