"""Who an id that somebody typed stands for, by the identity views."""

from typing import Final

from sinks.query.answers import Answers
from sinks.query.ask import Asked, Project
from sinks.query.catalog import Query
from sinks.query.errors import QuestionError
from sinks.query.statement import Statement

_NAMED: Final = 10
# Each SELECT by an index of its own. A user that was aliased has a row of user_persons, which says who that is.
_OWNERS: Final = """WITH
    persons AS (SELECT user_id, person_id FROM user_persons WHERE tenant_id = {tenant:String})
SELECT DISTINCT if(p.person_id = '', l.user_id, p.person_id) AS person, l.is_user
FROM
(
    SELECT user_id, 'no' AS is_user
    FROM identity_links
    WHERE tenant_id = {tenant:String} AND anonymous_id = {person:String}
    UNION DISTINCT
    SELECT user_id, 'yes'
    FROM identity_links
    WHERE tenant_id = {tenant:String} AND user_id = {person:String}
    UNION DISTINCT
    SELECT user_id, 'yes'
    FROM persons
    WHERE user_id = {person:String}
) AS l
LEFT ANY JOIN persons AS p ON p.user_id = l.user_id
ORDER BY l.is_user DESC, person"""


def find_person(answers: Answers, query: Query, asked: Asked, project: Project) -> str | None:
    """The user that the query's `--person` is today; None: nobody is asked for, or the id is linked to nothing.

    An id of a user and of a visitor is the user's. Raises QuestionError for a visitor that is several people, and what
    `Answers` raises.
    """
    typed = asked.own.get("person", ()) if query.names_person and asked.people == "users" else ()
    if not typed or not typed[-1]:
        return None
    rows = answers.rows(Statement(_OWNERS, {"tenant": project.tenant_id, "person": typed[-1]}))
    people = [person for person, is_user in rows if is_user == rows[0][1]]
    if len(people) > 1:
        named = ", ".join(people[:_NAMED]) + (" …" if len(people) > _NAMED else "")
        raise QuestionError(
            "person",
            f"visitor {typed[-1]!r} is linked to several people: {named}; name one of them, or ask for the visitor "
            "alone with --people visitors",
        )
    return people[0] if people else None
