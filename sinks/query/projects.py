"""Which project is meant, and which properties have columns for it."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from schemas.properties import MaterializedProperty, materialized_properties
from sinks.query.answers import Answers
from sinks.query.ask import Project
from sinks.query.errors import QuestionError
from sinks.query.statement import Statement

_SHOWN: Final = 10
_ADVICE: Final = "python -m collector projects list shows them"


class _Connection:
    """`Answers`, as `schemas.properties` asks."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def execute(self, query: str) -> list[list[str]]:
        return self._answers.rows(Statement(query, {}))


def properties_with_columns(answers: Answers, project: Project, source: str) -> Mapping[str, MaterializedProperty]:
    """Those that a question about the project can read from a column of its source. Raises what `Answers` raises."""
    return materialized_properties(_Connection(answers), project.project_id, source)


def find_project(answers: Answers, wanted: str) -> Project:
    """The project of that id or name. Raises QuestionError, and what `Answers` raises."""
    found = answers.rows(
        Statement(
            "SELECT project_id, tenant_id, name FROM projects FINAL "
            "WHERE toString(project_id) = {wanted:String} OR name = {wanted:String} ORDER BY project_id",
            {"wanted": wanted},
        )
    )
    if len(found) == 1:
        return Project(found[0][1], found[0][0])
    if found:
        ids = ", ".join(row[0] for row in found)
        raise QuestionError("project", f"several projects are called {wanted!r}; give one of their ids: {ids}")
    rows = answers.rows(
        Statement("SELECT name, project_id FROM projects FINAL ORDER BY name, project_id LIMIT 1000", {})
    )
    names = [name for name, _ in rows]
    near = get_close_matches(wanted, names, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    there = (
        f"there are {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}; " if names else "there are none; "
    )
    raise QuestionError("project", f"no project {wanted!r}: {hint}{there}{_ADVICE}")
