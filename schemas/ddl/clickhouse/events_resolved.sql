-- Whose an event is, decided when it is asked: its own user_id, else the user its visitor was linked to at that time,
-- else the first user the visitor was ever linked to; of a user that was aliased to another, that one (user_persons). No
-- row is rewritten, so an alias or an unlink takes effect at once and everywhere. The aliases, few as a rule, are a
-- constant of the query: a join of theirs costs every question a third more, also where there are none.
CREATE VIEW IF NOT EXISTS events_resolved AS
WITH
    (
        SELECT (groupArray(concat(tenant_id, '/', user_id)), groupArray(person_id))
        FROM user_persons
    ) AS persons,
    coalesce(
        e.user_id,
        nullIf(if(
            arrayExists(link -> link.1 <= e.timestamp, l.links),
            arrayLast(link -> link.1 <= e.timestamp, l.links).2,
            arrayFirst(link -> 1, l.links).2
        ), '')
    ) AS linked_user_id
SELECT
    e.*,
    if(
        empty(persons.1) OR linked_user_id IS NULL,
        linked_user_id,
        transform(
            concat(e.tenant_id, '/', assumeNotNull(linked_user_id)), persons.1, persons.2, assumeNotNull(linked_user_id)
        )
    ) AS resolved_user_id
FROM events AS e
LEFT JOIN
(
    SELECT
        tenant_id,
        anonymous_id,
        arraySort(groupArray((first_linked_at, user_id))) AS links
    FROM identities FINAL
    WHERE is_deleted = 0
    GROUP BY tenant_id, anonymous_id
) AS l ON l.tenant_id = e.tenant_id AND l.anonymous_id = e.anonymous_id;
