-- One person's events, of all his visitors and users: person_events(tenant = '…', user = '…'), by any of his user ids. The
-- same rows as events_resolved has for him; but first his ids are looked up, and then their events by the indexes. What
-- was looked up is a constant of the query: a subquery with a name would be asked anew wherever the name stands.
-- * has the columns of materialized properties too; this view has no list of columns that could be out of date.
CREATE VIEW IF NOT EXISTS person_events AS
WITH
    (
        SELECT argMax((person_id, ids), has(ids, {user:String}))
        FROM (SELECT person_id, groupArray(user_id) AS ids FROM tenant_persons(tenant = {tenant:String}) GROUP BY person_id)
        WHERE person_id = {user:String} OR has(ids, {user:String})
    ) AS found,
    if(found.1 = '', {user:String}, found.1) AS person,
    arrayPushBack(found.2, person) AS users,
    (
        SELECT groupUniqArray(anonymous_id)
        FROM identity_links
        WHERE tenant_id = {tenant:String} AND user_id IN (SELECT arrayJoin(users))
    ) AS visitors,
    (
        SELECT groupArray((anonymous_id, owners))
        FROM
        (
            SELECT anonymous_id, arraySort(groupArray((since, if(p.person_id = '', l.user_id, p.person_id)))) AS owners
            FROM identity_links AS l
            LEFT ANY JOIN tenant_persons(tenant = {tenant:String}) AS p ON p.user_id = l.user_id
            WHERE l.tenant_id = {tenant:String} AND l.anonymous_id IN (SELECT arrayJoin(visitors))
            GROUP BY anonymous_id
        )
    ) AS links
SELECT *, person AS resolved_user_id
FROM events
WHERE tenant_id = {tenant:String} AND user_id IN (SELECT arrayJoin(users))
SETTINGS asterisk_include_materialized_columns = 1
UNION ALL
SELECT e.*, person AS resolved_user_id
FROM
(
    SELECT *
    FROM events
    WHERE tenant_id = {tenant:String} AND user_id IS NULL AND anonymous_id IN (SELECT arrayJoin(visitors))
) AS e
LEFT ANY JOIN
(
    SELECT link.1 AS anonymous_id, link.2 AS owners
    FROM (SELECT arrayJoin(links) AS link)
) AS l ON l.anonymous_id = e.anonymous_id
WHERE l.owners[greatest(1, arrayCount(owner -> owner.1 <= e.timestamp, l.owners))].2 = person
SETTINGS asterisk_include_materialized_columns = 1;
