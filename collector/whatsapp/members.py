"""The members of a JSON object that somebody else defines: what has another type than expected is absent. Pure."""

from typing import Final

import msgspec

from collector.events.event import Raw, number_as_id

_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list: Final = msgspec.json.Decoder(list[Raw]).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_whole: Final = msgspec.json.Decoder(int).decode
_ABSENT: Final = b""


class UnreadableError(ValueError):
    """The JSON is no object, is nested too deeply, or is no JSON."""


class Members:
    """The members of an object, by name."""

    __slots__ = ("_raw",)

    def __init__(self, raw: dict[str, Raw]) -> None:
        self._raw = raw

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def raw(self, name: str) -> bytes:
        """The JSON of a member as it stood there; b"" without."""
        found = self._raw.get(name)
        return _ABSENT if found is None else bytes(found)

    def text(self, name: str) -> str:
        """A text; '' for anything else."""
        raw = self.raw(name)
        return _decode_text(raw) if raw[:1] == b'"' else ""

    def id(self, name: str) -> str:
        """An id: a text, or a number by its digits; '' for anything else."""
        raw = self.raw(name)
        return number_as_id(raw.decode()) if raw[:1].isdigit() else self.text(name)

    def seconds(self, name: str) -> int | None:
        """A time in whole seconds, as a number or its digits; None for anything else."""
        digits = self.id(name)
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 12 else None

    def whole(self, name: str) -> int | None:
        """A whole number; None for anything else."""
        try:
            return _decode_whole(self.raw(name))
        except ValueError:
            return None

    def flag(self, name: str) -> bool:
        """Whether it is `true`."""
        return self.raw(name) == b"true"

    def members(self, name: str) -> "Members":
        """An object; one without members for anything else."""
        raw = self.raw(name)
        return Members(_decode_members(raw)) if raw[:1] == b"{" else NONE

    def items(self, name: str) -> list[bytes]:
        """The JSON of an array's elements; none for anything else."""
        raw = self.raw(name)
        return [bytes(item) for item in _decode_list(raw)] if raw[:1] == b"[" else []

    def first(self, name: str) -> "Members":
        """The first element of an array, if that is an object."""
        found = self.items(name)
        return Members(_decode_members(found[0])) if found and found[0][:1] == b"{" else NONE


NONE: Final = Members({})


def read_members(raw: bytes) -> Members:
    """An object's members. Raises UnreadableError."""
    try:
        return Members(_decode_members(raw))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(str(error)[:200]) from None
