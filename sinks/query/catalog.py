"""The queries there are: what their files say of themselves.

The first line of a file is the question that it answers; a paragraph says what is counted; then a line for each option,
`-- --name KIND=default  what it means`. KIND is of `Kind`, or choices, a|b|c; `...` after it: may be repeated; `!`:
must be given; `<=9` behind NUMBER: the greatest that is taken. `-- exactly one of --a --b` says that of two options.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Final

from sinks.query.dimensions import Subject

_FILES: Final = resources.files("sinks.query") / "sql"
_OPTION: Final = re.compile(r"--([a-z]+) ([A-Z]+|[a-z]+(?:\|[a-z]+)+)(?:<=([0-9]+))?(\.\.\.)?(!)?(?:=(\S+))? +(.+)")
_EXACTLY_ONE: Final = "exactly one of "


class Kind(StrEnum):
    """What an option takes, and what of it the SQL may use, NAME being the option's name."""

    TEXT = "TEXT"  # {NAME:String}
    NUMBER = "NUMBER"  # {NAME:UInt32}
    SPAN = "SPAN"  # 30m, 6h, 7d: {NAME_ms:Int64}
    CHOICE = "CHOICE"  # {NAME:String}
    DIMENSION = "DIMENSION"  # {{NAME}}: an expression of type String; {{all}}: 1 if it is not given, else 0
    STEP = "STEP"  # {{NAME}}: a condition; {NAME:String}: as it was typed


@dataclass(frozen=True, slots=True)
class Option:
    """An option of one query. `default`: as it would be typed, "" for none."""

    name: str
    kind: Kind
    about: str
    choices: tuple[str, ...] = ()
    many: bool = False
    required: bool = False
    default: str = ""
    most: int = 0  # the greatest number; of NUMBER alone


@dataclass(frozen=True, slots=True)
class Query:
    """`question`: one line; `about`: a paragraph; `one_of`: the options of which exactly one is given."""

    name: str
    question: str
    about: str
    options: tuple[Option, ...]
    one_of: tuple[str, ...]
    sql: str

    @property
    def subject(self) -> Subject:
        """What it is asked of. Events come first where it reads several, then conversations."""
        read = (Subject.EVENTS, Subject.CONVERSATIONS, Subject.SESSIONS)
        return next(subject for subject in read if f"{{{{{subject}}}}}" in self.sql)

    @property
    def knows_robots(self) -> bool:
        """Whether robots can be in it at all; none has a conversation."""
        return "{robots:" in self.sql

    @property
    def counts_people(self) -> bool:
        """Whether it matters who counts as one person."""
        return "{{person}}" in self.sql

    @property
    def names_person(self) -> bool:
        """Whether it can be asked of one person, by option `person`."""
        return "{{theirs}}" in self.sql

    @property
    def has_begin(self) -> bool:
        """Whether it is asked of a range, not of the time before a moment."""
        return "{from:" in self.sql


def parse(name: str, text: str) -> Query:
    """The query of a file. Raises ValueError: the file's mistake, not a user's."""
    lines = text.splitlines()
    head = [line.removeprefix("--").strip() for line in lines[: _head_length(lines)]]
    options: list[Option] = []
    prose: list[str] = []
    one_of: tuple[str, ...] = ()
    for line in head[1:]:
        if line.startswith(_EXACTLY_ONE):
            one_of = tuple(word.removeprefix("--") for word in line.removeprefix(_EXACTLY_ONE).split())
        elif line.startswith("--"):
            options.append(_option(name, line))
        else:
            prose.append(line)
    return Query(name, head[0], " ".join(prose).strip(), tuple(options), one_of, "\n".join(lines[len(head) :]).strip())


def _head_length(lines: list[str]) -> int:
    return next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))


def _option(query: str, line: str) -> Option:
    found = _OPTION.fullmatch(line)
    if found is None:
        raise ValueError(f"{query}.sql: not an option: {line}")
    name, kind, most, many, required, default, about = found.groups(default="")
    if bool(most) is not (kind == Kind.NUMBER):
        raise ValueError(f"{query}.sql: a NUMBER, and nothing else, says its greatest, as NUMBER<=100: {line}")
    choices = tuple(kind.split("|")) if "|" in kind else ()
    kind_of = Kind.CHOICE if choices else Kind(kind)
    return Option(name, kind_of, about, choices, bool(many), bool(required), default, int(most or 0))


@cache
def queries() -> Mapping[str, Query]:
    """All of them, by name."""
    files = sorted((path for path in _FILES.iterdir() if path.name.endswith(".sql")), key=lambda path: path.name)
    return {(name := path.name.removesuffix(".sql")): parse(name, path.read_text("utf-8")) for path in files}
