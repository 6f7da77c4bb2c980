-- Which person a user id that was aliased stands for today: where its chain of aliases ends, at most 16 further.
-- An id that was aliased to several goes to the one it was aliased to first; of a ring of aliases, all are the first by
-- name, if at most 16 lead into it and once around; of a longer way, each is who is 16 further. Only pairs of which any
-- row says alias are looked at closely.
CREATE VIEW IF NOT EXISTS user_persons AS
WITH RECURSIVE
    aliases AS
    (
        SELECT tenant_id, anonymous_id AS alias, argMin(user_id, (since, user_id)) AS target
        FROM identity_links
        WHERE is_alias AND anonymous_id != user_id AND (tenant_id, anonymous_id, user_id) IN
        (
            SELECT tenant_id, anonymous_id, user_id FROM identities WHERE link_source = 'alias'
            UNION ALL
            SELECT tenant_id, anonymous_id, user_id FROM identity_changes WHERE link_source = 'alias'
        )
        GROUP BY tenant_id, alias
    ),
    walks AS
    (
        SELECT tenant_id, alias AS user_id, [alias, target] AS path
        FROM aliases
        UNION ALL
        SELECT w.tenant_id, w.user_id, arrayPushBack(w.path, a.target)
        FROM walks AS w
        INNER JOIN aliases AS a ON a.tenant_id = w.tenant_id AND a.alias = w.path[-1]
        WHERE length(w.path) <= 16 AND indexOf(w.path, w.path[-1]) = length(w.path)
    )
SELECT
    tenant_id,
    user_id,
    arrayMin(arraySlice(path, ring_from, greatest(1, length(path) - ring_from))) AS person_id
FROM
(
    SELECT tenant_id, user_id, argMax(path, length(path)) AS path, indexOf(path, path[-1]) AS ring_from
    FROM (SELECT tenant_id, user_id, path FROM walks)
    GROUP BY tenant_id, user_id
);
