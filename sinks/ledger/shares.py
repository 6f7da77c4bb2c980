"""Events by project and outcome in few bytes, as there may be tens of thousands of pages. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

OTHER: Final = "other"
UNKNOWN: Final = "unknown"  # whose a dead letter is cannot always be read

Counts = Counter[tuple[str, str]]  # by project label and outcome
_SHARE: Final = np.dtype([("code", "<u4"), ("events", "<u4")])


@dataclass(slots=True)
class Shares:
    """Packs counts by project label and outcome: 8 bytes for each that is not 0. `labels_max`: who keeps a name."""

    labels_max: int
    _names: list[tuple[str, str]] = field(default_factory=list)
    _codes: dict[tuple[str, str], int] = field(default_factory=dict)
    _labels: set[str] = field(default_factory=set)

    def pack(self, counts: Mapping[tuple[str, str], int]) -> bytes:
        """The counts as bytes."""
        present = sorted((self._code(name), events) for name, events in counts.items() if events)
        return np.array(present, dtype=_SHARE).tobytes()

    def unpack(self, packed: bytes) -> Counts:
        """The counts again."""
        return Counter({self._names[code]: events for code, events in np.frombuffer(packed, dtype=_SHARE).tolist()})

    def label(self, project_id: str) -> str:
        """The project's own id while there is room for it."""
        if not project_id:
            return UNKNOWN
        if project_id not in self._labels and len(self._labels) < self.labels_max:
            self._labels.add(project_id)
        return project_id if project_id in self._labels else OTHER

    def _code(self, name: tuple[str, str]) -> int:
        code = self._codes.setdefault(name, len(self._names))
        if code == len(self._names):
            self._names.append(name)
        return code
