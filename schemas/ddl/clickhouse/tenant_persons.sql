-- user_persons of one tenant: tenant_persons(tenant = '…'). ClickHouse cannot take a condition into a recursion, so it
-- stands here again with the tenant inside: of other tenants nothing is read, of this one the granules with aliases.
CREATE VIEW IF NOT EXISTS tenant_persons AS
WITH RECURSIVE
    aliases AS
    (
        SELECT anonymous_id AS alias, argMin(user_id, (since, user_id)) AS target
        FROM identity_links
        WHERE tenant_id = {tenant:String} AND is_alias AND anonymous_id != user_id
            AND (tenant_id, anonymous_id, user_id) IN
            (
                SELECT tenant_id, anonymous_id, user_id
                FROM identities
                WHERE tenant_id = {tenant:String} AND link_source = 'alias'
                UNION ALL
                SELECT tenant_id, anonymous_id, user_id
                FROM identity_changes
                WHERE tenant_id = {tenant:String} AND link_source = 'alias'
            )
        GROUP BY alias
    ),
    walks AS
    (
        SELECT alias AS user_id, [alias, target] AS path
        FROM aliases
        UNION ALL
        SELECT w.user_id, arrayPushBack(w.path, a.target)
        FROM walks AS w
        INNER JOIN aliases AS a ON a.alias = w.path[-1]
        WHERE length(w.path) <= 16 AND indexOf(w.path, w.path[-1]) = length(w.path)
    )
SELECT user_id, arrayMin(arraySlice(path, ring_from, greatest(1, length(path) - ring_from))) AS person_id
FROM
(
    SELECT user_id, argMax(path, length(path)) AS path, indexOf(path, path[-1]) AS ring_from
    FROM (SELECT user_id, path FROM walks)
    GROUP BY user_id
);
