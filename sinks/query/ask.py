"""From what a person typed to a statement."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from schemas.properties import MaterializedProperty
from sinks.query import pieces
from sinks.query.catalog import Kind, Option, Query
from sinks.query.dimensions import SOURCE, Subject
from sinks.query.errors import QuestionError
from sinks.query.moments import Range, range_of, span_ms, zone
from sinks.query.pieces import Parameters, Value
from sinks.query.statement import Statement

BEGIN: Final = "30d"
_SLOT: Final = re.compile(r"\{\{([a-z]+)\}\}")
SAMPLE_EVENTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What every query can be told. Texts as they were typed; `where`: filters that must all hold."""

    begin: str = BEGIN
    end: str = "now"
    tz: str = "UTC"
    people: str = pieces.PEOPLE[0]
    where: Sequence[str] = ()
    robots: bool = False
    own: Mapping[str, Sequence[str]] = field(default_factory=dict)  # the query's own options, as typed; () if not given


@dataclass(frozen=True, slots=True)
class Project:
    """Whose events: as the tables have it."""

    tenant_id: str
    project_id: str


NO_PROJECT: Final = Project("", "")


@dataclass(frozen=True, slots=True)
class Question:
    """The statement, its range, the properties that it speaks of, and the table or view that it asks."""

    statement: Statement
    range: Range
    properties: tuple[str, ...]
    source: str


def question(
    query: Query,
    asked: Asked,
    project: Project,
    now: datetime,
    columns: Mapping[str, MaterializedProperty] | None = None,
    user: str | None = None,
) -> Question:
    """Put it together. Raises QuestionError, which says what to type instead.

    columns: the properties that have one in the question's source. user: who the person is that the query names, None
    when no identity is known of them; of `--people users` alone.
    """
    local = zone(asked.tz)
    span = range_of(asked.begin if query.has_begin else None, asked.end, local, now)
    if asked.people not in pieces.PEOPLE:
        raise QuestionError("people", f"{asked.people!r}: people are counted as {' or '.join(pieces.PEOPLE)}")
    source, person = pieces.tables(query.subject, asked.people if query.counts_people else "visitors")
    theirs, asks = pieces.THEIRS, source
    if asked.people == "users" and query.names_person:
        if query.subject is Subject.EVENTS:
            source, asks, person = pieces.of_one_person(known=user is not None)
        if user is not None:
            theirs = f"{person} = {{user:String}}"
    parameters = Parameters(columns=columns or {})
    filters = [pieces.condition("where", text, parameters, subject=query.subject) for text in asked.where]
    # What else is read, beside what is asked, is read as it is.
    slots: dict[str, str] = {other: pieces.tables(other, "visitors")[0] for other in Subject}
    slots |= {
        query.subject: asks,
        "person": person,
        "source": SOURCE,
        "theirs": theirs,
        "where": f"({' AND '.join(filters)})" if filters else "1",
    }
    _check_one_of(query, asked.own)
    values: dict[str, Value] = {}
    for option in query.options:
        typed = _typed(option, asked.own.get(option.name, ()))
        values |= _values(option, typed)
        slots |= _slots(option, typed, parameters, subject=query.subject)
    values |= parameters.values
    values |= {"from": span.begin, "to": span.end, "tz": asked.tz, "robots": asked.robots}
    values |= {"tenant": project.tenant_id, "project": project.project_id, "user": user or ""}
    sql = _SLOT.sub(lambda found: slots[found[1]], query.sql)
    return Question(Statement(sql, values), span, tuple(dict.fromkeys(parameters.properties)), source)


def sample_of_properties(project: Project, span: Range) -> Statement:
    """Which properties the newest events of a range have, the commonest first."""
    return Statement(
        f"""SELECT arrayJoin(JSONExtractKeys(properties)) AS name, count() AS events
FROM
(
    SELECT properties
    FROM events
    WHERE tenant_id = {{tenant:String}} AND project_id = {{project:String}}
        AND timestamp >= {{from:DateTime64(3, 'UTC')}} AND timestamp < {{to:DateTime64(3, 'UTC')}}
        AND properties NOT IN ('', '{{}}')
    ORDER BY tenant_id DESC, timestamp DESC
    LIMIT {SAMPLE_EVENTS}
)
GROUP BY name
ORDER BY events DESC, name
LIMIT 1000""",
        {"tenant": project.tenant_id, "project": project.project_id, "from": span.begin, "to": span.end},
    )


def _typed(option: Option, given: Sequence[str]) -> list[str]:
    """What counts as typed: the default if nothing was. Raises QuestionError."""
    if not given and option.required:
        raise QuestionError(option.name, f"--{option.name} is missing: {option.about}")
    if option.kind is Kind.TEXT and "" in given:
        raise QuestionError(option.name, f"--{option.name} is empty: {option.about}")
    typed = list(given) or ([option.default] if option.default else [])
    if option.kind is Kind.NUMBER:
        return [one for text in typed for one in text.split(",")]
    return typed


def _check_one_of(query: Query, own: Mapping[str, Sequence[str]]) -> None:
    given = [name for name in query.one_of if own.get(name)]
    if query.one_of and len(given) != 1:
        wanted = " or ".join(f"--{name}" for name in query.one_of)
        raise QuestionError(query.one_of[0], f"{query.name} needs {wanted}{', not both' if given else ''}")


def _values(option: Option, typed: list[str]) -> dict[str, Value]:
    if option.kind is Kind.NUMBER:
        numbers = [_number(option, text) for text in typed]
        return {option.name: list(dict.fromkeys(numbers)) if option.many else numbers[-1]}
    if option.kind is Kind.SPAN:
        return {f"{option.name}_ms": span_ms(option.name, typed[-1])}
    if option.choices and typed[-1] not in option.choices:
        raise QuestionError(option.name, f"{typed[-1]!r} is none of {', '.join(option.choices)}")
    return {option.name: typed if option.many else (typed[-1] if typed else "")}


def _slots(option: Option, typed: list[str], parameters: Parameters, *, subject: Subject) -> dict[str, str]:
    if option.kind is Kind.DIMENSION:
        one = pieces.dimension(option.name, typed[-1], parameters, subject=subject) if typed else "'(all)'"
        return {option.name: one, "all": "0" if typed else "1"}
    if option.kind is not Kind.STEP:
        return {}
    steps = [pieces.step(option.name, text, parameters) for text in typed]
    return {option.name: _steps_text(option, steps)}


def _steps_text(option: Option, steps: list[str]) -> str:
    """A list of conditions where each is a step of its own (`...!`), else one: any of them; without any, all events."""
    if option.required and option.many:
        return f"[{', '.join(steps)}]"
    return f"({' OR '.join(steps)})" if steps else "1"


def _number(option: Option, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or not 0 < int(text) <= option.most:
        raise QuestionError(option.name, f"{text!r} is not a whole number from 1 to {option.most:,}")
    return int(text)
