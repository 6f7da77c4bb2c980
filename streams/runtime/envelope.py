"""What every value of a table is: version | applied | time | body. Pure.

    version   1 byte: the layout of the body, counted by each table for itself; the three fields before the body are
              the same in all of them
    applied   8 bytes: the highest source offset applied
    time      8 bytes: when the key was active last, in ms
    body      the operator's own

A restore keeps the larger of two values by `applied`, eviction reads a million values by `time`, and neither decodes a
body. Releases before there were versions wrote the same without the first byte: such a value has the version 0. Its
first byte is 0, or 255 when nothing was applied (-1), which no version is.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

import msgspec
import numpy as np

B = TypeVar("B")
UNVERSIONED: Final = 0
VERSIONS_END: Final = 255
_ENVELOPE: Final = struct.Struct(">Bqq")
_ENVELOPE_BYTES: Final = _ENVELOPE.size
_UNVERSIONED: Final = struct.Struct(">qq")
_UNVERSIONED_BYTES: Final = _UNVERSIONED.size
_LONG: Final = struct.Struct(">q")


class UnreadableStateError(Exception):
    """A value that this release cannot read: of a version it does not know, or not what its version says.

    Whoever has written it can. Nothing is wrong with the records that need the state, so none of them may become a dead
    letter for it: the worker ends, and they are read again.
    """


def applied_offset(value: bytes) -> int:
    """The highest source offset applied, of an encoded state."""
    applied: int = _LONG.unpack_from(value, 1 if 0 < value[0] < VERSIONS_END else 0)[0]
    return applied


def highest_applied(values: Sequence[bytes]) -> int:
    """The highest offset applied to any of encoded states, all of them of a version. There is at least one."""
    column = np.frombuffer(b"".join([value[1:9] for value in values]), ">i8")
    return int(column.max())


def is_of_a_version(values: Sequence[bytes]) -> bool:
    """Whether each of encoded states says its version, and has all that stands before a body."""
    first, last = min(values)[:1], max(values)[0]
    return first > b"\0" and last < VERSIONS_END and min(map(len, values)) >= _ENVELOPE_BYTES


def with_applied(value: bytes, applied: int) -> bytes:
    """An encoded state, with another highest source offset."""
    start = 1 if 0 < value[0] < VERSIONS_END else 0
    return value[:start] + _LONG.pack(applied) + value[start + _LONG.size :]


def last_active_ms(value: bytes) -> int:
    """When the key was active last (ms), of an encoded state."""
    at: int = _LONG.unpack_from(value, 9 if 0 < value[0] < VERSIONS_END else 8)[0]
    return at


def version_of(value: bytes) -> int:
    """The version of the body; `UNVERSIONED` when the value does not say one."""
    return value[0] if 0 < value[0] < VERSIONS_END else UNVERSIONED


class Bodies(Generic[B]):
    """Bodies of all layouts a table ever had, in and out of their envelopes.

    version, encode: of the layout that is written; readers: of each version, what makes a body of today from its bytes,
    and raises msgspec.DecodeError when they are not of that layout.
    """

    def __init__(
        self, table: str, version: int, encode: Callable[[B], bytes], readers: Mapping[int, Callable[[bytes], B]]
    ) -> None:
        if not (0 < version < VERSIONS_END and version in readers):
            raise ValueError(f"version {version} of {table} cannot be written, or not be read again")
        self.table = table
        self.version = version
        self._encode = encode
        self._readers = dict(readers)
        self._read_newest = readers[version]

    def seal(self, applied: int, at_ms: int, body: B) -> bytes:
        """The table's value."""
        return _ENVELOPE.pack(self.version, applied, at_ms) + self._encode(body)

    def open(self, value: bytes) -> tuple[int, int, B]:
        """Offset applied, time and body. Raises UnreadableStateError."""
        try:
            if value[0] == self.version:
                _, applied, at_ms = _ENVELOPE.unpack_from(value)
                return applied, at_ms, self._read_newest(value[_ENVELOPE_BYTES:])
            return self._open_older(value)
        except (msgspec.DecodeError, struct.error, IndexError, UnicodeDecodeError) as error:
            known = version_of(value) if value else UNVERSIONED
            raise UnreadableStateError(f"a state of {self.table} is not of its version {known}: {error}") from error

    def _open_older(self, value: bytes) -> tuple[int, int, B]:
        version = version_of(value)
        read = self._readers.get(version)
        if read is None:
            raise UnreadableStateError(
                f"a state of {self.table} has version {version}, and this release reads "
                f"{', '.join(map(str, sorted(self._readers)))}: a newer release wrote it"
            )
        if version == UNVERSIONED:
            applied, at_ms = _UNVERSIONED.unpack_from(value)
            return applied, at_ms, read(value[_UNVERSIONED_BYTES:])
        _, applied, at_ms = _ENVELOPE.unpack_from(value)
        return applied, at_ms, read(value[_ENVELOPE_BYTES:])
