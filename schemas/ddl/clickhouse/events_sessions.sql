-- Every event with the session that it is in today. A row of events is written once: a late event may give its session
-- another beginning, and so another id. The tombstone of the old id names the living one.
-- e.* has the columns of materialized properties too, as in events_resolved.
CREATE VIEW IF NOT EXISTS events_sessions AS
SELECT
    e.*,
    coalesce(s.absorbed_by, e.session_id) AS resolved_session_id
FROM events AS e
LEFT JOIN
(
    SELECT
        tenant_id,
        toString(session_id) AS absorbed_id,
        argMax(absorbed_by, version) AS absorbed_by
    FROM sessions
    WHERE (tenant_id, session_id) IN (SELECT tenant_id, session_id FROM sessions WHERE is_deleted = 1)
    GROUP BY tenant_id, session_id
    HAVING argMax(is_deleted, version) = 1
) AS s ON s.tenant_id = e.tenant_id AND s.absorbed_id = e.session_id
SETTINGS asterisk_include_materialized_columns = 1;
