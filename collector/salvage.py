"""Finding the events of a batch whose JSON is broken somewhere, so that one bad event does not cost its neighbours."""

import re
from typing import Final, NamedTuple

# Possessive quantifiers: an unterminated string fails at once instead of being tried in every way.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\],:"]', re.DOTALL)
_CLOSES: Final = {b"}": b"{", b"]": b"["}


class Salvaged(NamedTuple):
    """The members of the outer object and the elements of its `batch`, each as the bytes that stood there."""

    members: dict[bytes, bytes]
    elements: list[bytes] | None


def salvage(body: bytes) -> Salvaged | None:
    """Split a body by its brackets and strings alone; None when these do not match.

    What stands between them is not looked at: an element may be anything, also nothing like JSON.
    """
    open_brackets: list[bytes] = []
    members: dict[bytes, bytes] = {}
    elements: list[bytes] | None = None
    name = b""
    start = element_start = end = 0
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token == b'"' or (end and not open_brackets):
            return None
        depth = len(open_brackets)
        if token in b"{[":
            if depth == 0 and (token == b"[" or body[: match.start()].strip()):
                return None
            if depth == 1 and token == b"[" and name == b'"batch"':
                elements, element_start = [], match.end()
            open_brackets.append(token)
            start = match.end() if depth == 0 else start
        elif token in b"}]":
            if not open_brackets or open_brackets.pop() != _CLOSES[token]:
                return None
            if depth == 2 and elements is not None and name == b'"batch"':
                _keep(elements, body[element_start : match.start()])
            if depth == 1:
                members[name] = body[start : match.start()].strip()
            end = match.end()
        elif depth == 1:
            if token == b":":
                name, start = body[start : match.start()].strip(), match.end()
            elif token == b",":
                members[name] = body[start : match.start()].strip()
                start = match.end()
        elif depth == 2 and token == b"," and elements is not None and name == b'"batch"':
            _keep(elements, body[element_start : match.start()])
            element_start = match.end()
    if open_brackets or not end or body[end:].strip():
        return None
    return Salvaged(members, elements)


def _keep(elements: list[bytes], element: bytes) -> None:
    if element := element.strip():
        elements.append(element)
