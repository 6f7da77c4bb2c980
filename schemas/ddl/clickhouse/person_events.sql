-- One person's events, of all his visitors and users: person_events(tenant = '…', user = '…'), by any of his user ids. The
-- same rows as events_resolved has for him; but first his ids are looked up, and then their events by the indexes.
-- * has the columns of materialized properties too; this view has no list of columns that could be out of date.
CREATE VIEW IF NOT EXISTS person_events AS
WITH
    persons AS (SELECT user_id, person_id FROM user_persons WHERE tenant_id = {tenant:String}),
    (
        SELECT if(count() = 0, {user:String}, any(person_id)) FROM persons WHERE user_id = {user:String}
    ) AS person,
    users AS
    (
        SELECT user_id FROM persons WHERE person_id = person
        UNION DISTINCT
        SELECT person
    ),
    visitors AS
    (
        SELECT DISTINCT anonymous_id
        FROM identity_links
        WHERE tenant_id = {tenant:String} AND user_id IN (SELECT user_id FROM users)
    ),
    links AS
    (
        SELECT anonymous_id, arraySort(groupArray((since, if(p.person_id = '', l.user_id, p.person_id)))) AS owners
        FROM identity_links AS l
        LEFT ANY JOIN persons AS p ON p.user_id = l.user_id
        WHERE l.tenant_id = {tenant:String} AND l.anonymous_id IN (SELECT anonymous_id FROM visitors)
        GROUP BY anonymous_id
    )
SELECT *, person AS resolved_user_id
FROM events
WHERE tenant_id = {tenant:String} AND user_id IN (SELECT user_id FROM users)
SETTINGS asterisk_include_materialized_columns = 1
UNION ALL
SELECT e.*, person AS resolved_user_id
FROM
(
    SELECT *
    FROM events
    WHERE tenant_id = {tenant:String} AND user_id IS NULL AND anonymous_id IN (SELECT anonymous_id FROM visitors)
) AS e
LEFT ANY JOIN links AS l ON l.anonymous_id = e.anonymous_id
WHERE l.owners[greatest(1, arrayCount(owner -> owner.1 <= e.timestamp, l.owners))].2 = person
SETTINGS asterisk_include_materialized_columns = 1;
