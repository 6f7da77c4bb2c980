"""A fault: one text of one file replaced, and the tests that must turn red. Pure."""

from dataclasses import dataclass


class StaleError(ValueError):
    """A fault does not fit the code any more; str(error) says how."""


@dataclass(frozen=True, slots=True)
class Fault:
    """file: from the project's root. text: what stands in it exactly once; becomes: what stands there instead.

    tests: pytest's ids of the fast tests that must turn red; one of them is enough. guarantee: the promise, in words.
    """

    name: str
    file: str
    text: str
    becomes: str
    tests: tuple[str, ...]
    guarantee: str

    def planted(self, source: str) -> str:
        """The file's text with the fault in it. Raises StaleError."""
        count = source.count(self.text)
        if count != 1:
            raise StaleError(f"{self.name}: {self.file} has its text {count} times, not once: {self.text!r}")
        return source.replace(self.text, self.becomes)
