-- Whose a visitor's events are, and those of a user that was aliased, by a number that stands for the ids: joined by two
-- texts, a question costs twice as much. That two of a million linked visitors and ten million others share a number has
-- a chance of one in two million.
-- `persons` is the person; of a visitor with several links, char 1 and `since in ms, the person in hex` of each in their order.
CREATE VIEW IF NOT EXISTS person_keys AS
SELECT
    key,
    if(
        count() = 1 AND NOT startsWith(any(person_id), char(1)),
        any(person_id),
        concat(char(1), arrayStringConcat(
            arrayMap(link -> concat(leftPad(toString(link.1), 14, '0'), hex(link.2)), arraySort(groupArray((since_ms, person_id)))),
            ','
        ))
    ) AS persons
FROM
(
    SELECT
        cityHash64(l.tenant_id, l.anonymous_id) AS key,
        toUnixTimestamp64Milli(l.since) AS since_ms,
        if(p.person_id = '', l.user_id, p.person_id) AS person_id
    FROM identity_links AS l
    LEFT ANY JOIN
    (
        SELECT cityHash64(tenant_id, user_id) AS user_key, person_id
        FROM user_persons
    ) AS p ON p.user_key = cityHash64(l.tenant_id, l.user_id)
    UNION ALL
    SELECT cityHash64('user', tenant_id, user_id), 0, person_id
    FROM user_persons
)
GROUP BY key
SETTINGS join_algorithm = 'hash';
