"""When open conversations will have been silent for too long. Nobody tells of silence: somebody has to look. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping


class Silences:
    """Of the states that are held, those with an open episode, and when that ends if nothing else comes.

    What an epoch changes is `note`d, and holds once it is durable (`confirm`).
    """

    def __init__(self) -> None:
        self._due: dict[int, dict[bytes, int]] = {}
        self._noted: list[tuple[int, bytes, int, str]] = []
        self._states: dict[tuple[int, bytes], str] = {}

    def load(self, found: Iterable[tuple[int, bytes, int]]) -> None:
        """Partition, key and time of all there are: after a restore, or when partitions came or went."""
        due: dict[int, dict[bytes, int]] = {}
        for partition, key, silent_ms in found:
            if silent_ms:
                due.setdefault(partition, {})[key] = silent_ms
        self._due = due
        self._states = {place: state for place, state in self._states.items() if place[1] in due.get(place[0], ())}

    def note(self, partition: int, key: bytes, silent_ms: int, state: str = "") -> None:
        """What is open of a key's episodes, 0 and '' for none."""
        self._noted.append((partition, key, silent_ms, state))

    def confirm(self) -> None:
        """What was noted is durable."""
        for partition, key, silent_ms, state in self._noted:
            of_partition = self._due.setdefault(partition, {})
            if silent_ms:
                of_partition[key] = silent_ms
                self._states[partition, key] = state
            else:
                of_partition.pop(key, None)
                self._states.pop((partition, key), None)
        self._noted = []

    def rollback(self) -> None:
        """Nothing of what was noted came to be."""
        self._noted = []

    def due(self, now_of: Callable[[int], int]) -> Iterator[tuple[int, bytes]]:
        """Partition and key of what has been silent for too long; `now_of`: until when all of a partition is known."""
        for partition, keys in self._due.items():
            now_ms = now_of(partition)
            yield from ((partition, key) for key, silent_ms in keys.items() if silent_ms < now_ms)

    def open_by_state(self) -> Mapping[str, int]:
        """How many conversations are open, by their state; '' of those that no signal has touched since a restore."""
        counts: dict[str, int] = {}
        for state in self._states.values():
            counts[state] = counts.get(state, 0) + 1
        if unknown := sum(map(len, self._due.values())) - len(self._states):
            counts[""] = unknown
        return counts
