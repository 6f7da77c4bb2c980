-- The links that hold today, each with the moment from which it counts. A link that was taken back holds again once the
-- two are claimed at a later time, and counts from when it was taken back; of equal times the taking back wins. Only the
-- few pairs that people changed are folded: of all others the newest row of identities says everything.
CREATE VIEW IF NOT EXISTS identity_links AS
SELECT tenant_id, anonymous_id, user_id, first_linked_at AS since, link_source = 'alias' AS is_alias
FROM identities FINAL
WHERE is_deleted = 0
    AND (tenant_id, anonymous_id, user_id) NOT IN (SELECT tenant_id, anonymous_id, user_id FROM identity_changes)
UNION ALL
SELECT
    tenant_id,
    anonymous_id,
    user_id,
    greatest(minIf(first_at, is_back = 0), maxIf(at, is_back = 1)) AS since,
    maxIf(at, is_back = 0 AND source = 'alias') > maxIf(at, is_back = 1) AS is_alias
FROM
(
    SELECT
        tenant_id, anonymous_id, user_id,
        linked_at AS at, first_linked_at AS first_at, link_source AS source, is_deleted AS is_back
    FROM identities FINAL
    WHERE (tenant_id, anonymous_id, user_id) IN (SELECT tenant_id, anonymous_id, user_id FROM identity_changes)
    UNION ALL
    SELECT tenant_id, anonymous_id, user_id, changed_at, first_linked_at, link_source, is_deleted
    FROM identity_changes
)
GROUP BY tenant_id, anonymous_id, user_id
HAVING maxIf(at, is_back = 0) > maxIf(at, is_back = 1);
