-- events_resolved of one tenant: tenant_events(tenant = '…'). Only that tenant's links are read: a condition on events does
-- not reach the right side of a join by a number, and a join by tenant and number takes twice the CPU.
-- `person_key` stands for who an event is counted as: equal for all events of a person, and for all of a visitor without
-- one. It costs less than the text, so count by it: uniq(person_key). A number of 64 bits made of tenant and id, not stored.
-- What is joined is the person, as text and as number. Of a visitor with several links `persons` (after a char 1) and
-- `keys` have `since in ms, the person in hex` of each in their order, and person_key is 1.
CREATE VIEW IF NOT EXISTS tenant_events AS
SELECT
    e.* EXCEPT (own_key),
    multiIf(
        p.persons = '', e.user_id,
        startsWith(p.persons, char(1)),
            unhex(substring(arrayElement(
                splitByChar(',', substring(p.persons, 2)),
                greatest(1, arrayCount(
                    link -> substring(link, 1, 14) <= leftPad(toString(greatest(0, toUnixTimestamp64Milli(e.timestamp))), 14, '0'),
                    splitByChar(',', substring(p.persons, 2))
                ))
            ), 15)),
        p.persons
    ) AS resolved_user_id,
    multiIf(
        p.person_key = 0, e.own_key,
        p.person_key != 1, p.person_key,
        reinterpretAsUInt64(unhex(substring(arrayElement(
            splitByChar(',', p.keys),
            greatest(1, arrayCount(
                link -> substring(link, 1, 14) <= leftPad(toString(greatest(0, toUnixTimestamp64Milli(e.timestamp))), 14, '0'),
                splitByChar(',', p.keys)
            ))
        ), 15)))
    ) AS person_key
FROM
(
    SELECT
        *,
        bitXor(cityHash64(tenant_id, ifNull(user_id, anonymous_id)), toUInt64(isNull(user_id))) AS own_key
    FROM events
    WHERE tenant_id = {tenant:String}
) AS e
LEFT ANY JOIN
(
    SELECT
        key,
        if(count() = 1, [], arraySort(groupArray((since_ms, person_id)))) AS links,
        multiIf(
            count() > 1,
            concat(char(1), arrayStringConcat(arrayMap(link -> concat(leftPad(toString(link.1), 14, '0'), hex(link.2)), links), ',')),
            startsWith(any(person_id), char(1)), concat(char(1), repeat('0', 14), hex(any(person_id))),
            any(person_id)
        ) AS persons,
        if(count() = 1, any(cityHash64({tenant:String}, person_id)), 1) AS person_key,
        arrayStringConcat(
            arrayMap(
                link -> concat(leftPad(toString(link.1), 14, '0'), hex(reinterpretAsString(cityHash64({tenant:String}, link.2)))),
                links
            ),
            ','
        ) AS keys
    FROM
    (
        SELECT
            bitXor(cityHash64(tenant_id, l.anonymous_id), toUInt64(1)) AS key,
            toUnixTimestamp64Milli(l.since) AS since_ms,
            if(p.person_id = '', l.user_id, p.person_id) AS person_id
        FROM identity_links AS l
        LEFT ANY JOIN tenant_persons(tenant = {tenant:String}) AS p ON p.user_id = l.user_id
        WHERE l.tenant_id = {tenant:String}
        UNION ALL
        SELECT cityHash64({tenant:String}, user_id), 0, person_id
        FROM tenant_persons(tenant = {tenant:String})
    )
    GROUP BY key
) AS p ON p.key = e.own_key
SETTINGS join_algorithm = 'hash';
