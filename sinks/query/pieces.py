"""The fixed pieces of SQL that an option chooses: tables, persons, comparisons. Values are parameters."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Final, TypeAlias

from schemas.properties import MaterializedProperty, PropertyType, property_expression
from sinks.query.dimensions import DIMENSIONS, NUMBERS, Subject
from sinks.query.errors import QuestionError

Value: TypeAlias = str | int | float | bool | datetime | list[str] | list[int]

VISITOR: Final = "if(anonymous_id != '', anonymous_id, ifNull(user_id, ''))"
# Whose {person} is; with nothing else in it, so that the indexes of both columns are used.
THEIRS: Final = "(anonymous_id = {person:String} OR user_id = {person:String})"
CONVERSATIONS: Final = "conversations_current"
# Who counts as one person: a visitor, or the user behind all their visitors. Of events, and of sessions.
PEOPLE: Final = ("users", "visitors")
EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "users": ("events_resolved", f"ifNull(resolved_user_id, {VISITOR})"),
    "visitors": ("events", VISITOR),
}
# The events of one person: by the indexes, where events_resolved would read the range.
PERSON_EVENTS: Final = "person_events"
OF_PERSON: Final = f"{PERSON_EVENTS}(tenant = {{tenant:String}}, user = {{user:String}})"
SESSIONS: Final[Mapping[str, tuple[str, str]]] = {
    "users": ("sessions_resolved", f"ifNull(resolved_user_id, {VISITOR})"),
    "visitors": ("sessions_current", VISITOR),
}
_PROPERTY: Final = "property:"
_FILTER: Final = re.compile(r'(property:(?:"(?:[^"\\]|\\.)*"|[^=!<>~]+?)|[a-z_]+) *(>=|<=|!=|=|<|>|~) *(.*)', re.DOTALL)
# Where a filter begins. A name may hold these words as well.
_FILTER_AHEAD: Final = r"(?=property:|[a-z_]+ *(?:[<>~=]|!=))"
_WHERE: Final = re.compile(f" where {_FILTER_AHEAD}")
_AND: Final = re.compile(f" and {_FILTER_AHEAD}")
_PAGE: Final = "page:"
_LEADING_ZERO: Final = re.compile("[-+]?0[0-9]")
_EXACT_MAX: Final = 2**53
_INT64_MAX: Final = 2**63 - 1
_UINT64_MAX: Final = 2**64 - 1
FILTER_FORM: Final = "property:price>=10, property:plan=pro, country!=DE, page~pricing"


@dataclass(slots=True)
class Parameters:
    """Values for {name:Type} in the SQL, each under a name of its own; the properties that were asked for.

    columns: the properties that have a column in what is read.
    """

    columns: Mapping[str, MaterializedProperty] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    properties: list[str] = field(default_factory=list)

    def add(self, stem: str, kind: str, value: Value) -> str:
        """Take a value; the placeholder for it."""
        name = f"{stem}_{sum(taken.startswith(f'{stem}_') for taken in self.values) + 1}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


@dataclass(frozen=True, slots=True)
class _Operand:
    """The expressions of a dimension, as text, as number and as whole number; "" for the latter if it is none."""

    text: str
    number: str = ""
    whole: str = ""


def _property(option: str, name: str, parameters: Parameters) -> _Operand:
    """A property's expressions, NULL where an event has none. Raises QuestionError."""
    parameters.properties.append(name)

    def as_parameter(key: str) -> str:
        return parameters.add("property", "String", key)

    try:
        return _Operand(
            *(
                property_expression(name, kind, parameters.columns, write_key=as_parameter)
                for kind in (PropertyType.STRING, PropertyType.FLOAT64, PropertyType.INT64)
            )
        )
    except ValueError as error:
        raise QuestionError(option, f"no name of a property: {error}") from None


def tables(subject: Subject, people: str) -> tuple[str, str]:
    """The table or view of what is asked, and whose a row is, `people` being counted."""
    if subject is Subject.CONVERSATIONS:
        return CONVERSATIONS, "whatsapp_phone_id"
    return (SESSIONS if subject is Subject.SESSIONS else EVENTS)[people]


def of_one_person(*, known: bool) -> tuple[str, str, str]:
    """Of one person's events: the table or view, how it is asked, and who it is. known: whether identity knows them."""
    if known:
        return PERSON_EVENTS, OF_PERSON, "resolved_user_id"
    return "events", "events", f"ifNull(user_id, {VISITOR})"


def dimension(option: str, text: str, parameters: Parameters, *, subject: Subject) -> str:
    """The expression, of type String, of a dimension or `property:NAME`. Raises QuestionError."""
    operand = _operand(option, text, parameters, subject=subject)
    return f"coalesce(nullIf(toString({operand.text}), ''), '(none)')"


def condition(option: str, text: str, parameters: Parameters, *, subject: Subject) -> str:
    """The condition of a filter like `property:price>=10`; 1 or 0 for every row. Raises QuestionError."""
    found = _FILTER.fullmatch(text)
    if found is None:
        raise QuestionError(option, f"{text!r} is not a filter like {FILTER_FORM}")
    name, sign, value = found[1].strip(), found[2], found[3].strip()
    operand = _operand(option, name, parameters, subject=subject)
    number = _number(value)
    if sign in ("=", "!="):
        same = _same(operand, value, number, parameters)
        return same if sign == "=" else f"NOT {same}"
    if sign == "~":
        return f"ifNull(position(toString({operand.text}), {parameters.add('value', 'String', value)}) > 0, 0)"
    if number is None or not operand.number:
        what = f"{value!r} is not a number" if operand.number else f"{name} is text"
        raise QuestionError(option, f"{text!r}: {what}, and {sign} compares numbers; texts have =, != and ~ (contains)")
    compared = f"{operand.number} {sign} {parameters.add('value', 'Float64', float(number))}"
    # Up to there a Float64 has every whole number, and comparing with one is exact whatever the other is.
    if isinstance(number, int) and _EXACT_MAX <= abs(number) <= _INT64_MAX:
        exact = f"{operand.whole} {sign} {parameters.add('value', 'Int64', number)}"
        compared = f"if(isNull({operand.whole}), {compared}, {exact})"
    return f"ifNull({compared}, 0)"


def _same(operand: _Operand, value: str, number: float | None, parameters: Parameters) -> str:
    """Whether a value is what was typed, letter by letter, or as ClickHouse writes a number that was typed otherwise.

    So 1e1 and 10.0 are the number 10, an id of 19 digits is itself alone, and the text 007 is not 7.
    """
    texts = [parameters.add("value", "String", value)]
    if operand.number and number is not None and not _LEADING_ZERO.match(value):
        if isinstance(number, int) and abs(number) <= _UINT64_MAX:
            texts += [parameters.add("value", "String", str(number))] if str(number) != value else []
        else:
            texts.append(f"toString({parameters.add('value', 'Float64', float(number))})")
    same = " OR ".join(f"ifNull(toString({operand.text}) = {text}, 0)" for text in texts)
    return same if len(texts) == 1 else f"({same})"


def step(option: str, text: str, parameters: Parameters) -> str:
    """The condition of an event's name or page:/path, with filters behind ` where `, joined by ` and `.

    A name that holds " where " and nothing like a filter after it is a name. Raises QuestionError.
    """
    name, *rest = _WHERE.split(text, maxsplit=1)
    filters = _AND.split(rest[0]) if rest else []
    if not name.removeprefix(_PAGE):
        raise QuestionError(option, f"{text!r} names no event: give its name, or page:/path")
    if name.startswith(_PAGE):
        path = parameters.add("step", "String", name.removeprefix(_PAGE))
        fits = f"event_type = 'page' AND page_path = {path}"
    else:
        fits = f"event_name = {parameters.add('step', 'String', name)}"
    conditions = [condition(option, one, parameters, subject=Subject.EVENTS) for one in filters]
    return f"({' AND '.join([fits, *conditions])})"


def _operand(option: str, name: str, parameters: Parameters, *, subject: Subject) -> _Operand:
    known = DIMENSIONS[subject]
    if name.startswith(_PROPERTY):
        if subject is not Subject.EVENTS:
            raise QuestionError(option, f"{name}: {subject} have no properties; there are {_listed(known)}")
        return _property(option, _unquoted(option, name.removeprefix(_PROPERTY).strip()), parameters)
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        more = ", and property:NAME for any property" if subject is Subject.EVENTS else ""
        raise QuestionError(option, f"no dimension {name!r}{hint} There are {_listed(known)}{more}")
    return _Operand(*[known[name]] * 3) if name in NUMBERS else _Operand(known[name])


def _listed(names: Mapping[str, str]) -> str:
    return ", ".join(sorted(names))


def _unquoted(option: str, key: str) -> str:
    if not key.startswith('"'):
        return key
    try:
        name = str(json.loads(key))
        name.encode()  # half of a pair, as \\ud800, is no text
        return name
    except ValueError:
        raise QuestionError(option, f"{key} is not a name in double quotes, as JSON writes it") from None


def _number(text: str) -> float | None:
    """An int where a whole number of up to 30 digits is typed; None: no number, or beyond any Float64."""
    if re.fullmatch(r"[-+]?[0-9]{1,30}", text):
        return int(text)
    number = float(text) if re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?", text) else math.inf
    return number if math.isfinite(number) else None
