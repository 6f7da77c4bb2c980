-- Whose an event is, decided when it is asked: its own user_id, else the user its visitor was linked to at that time,
-- else the first user the visitor was ever linked to. No row is rewritten, so an unlink takes effect at once and everywhere.
CREATE VIEW IF NOT EXISTS events_resolved AS
SELECT
    e.*,
    coalesce(
        e.user_id,
        nullIf(if(
            arrayExists(link -> link.1 <= e.timestamp, l.links),
            arrayLast(link -> link.1 <= e.timestamp, l.links).2,
            arrayFirst(link -> 1, l.links).2
        ), '')
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
