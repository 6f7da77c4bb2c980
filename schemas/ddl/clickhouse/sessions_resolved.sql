-- The living sessions, each with the person it belongs to today, by the rule of events_resolved: its own user_id, else
-- whose its visitor was when it ended.
CREATE VIEW IF NOT EXISTS sessions_resolved AS
SELECT
    s.*,
    multiIf(
        p.persons = '', s.user_id,
        startsWith(p.persons, char(1)),
            unhex(substring(arrayElement(
                splitByChar(',', substring(p.persons, 2)),
                greatest(1, arrayCount(
                    link -> substring(link, 1, 14) <= leftPad(toString(greatest(0, toUnixTimestamp64Milli(s.ended_at))), 14, '0'),
                    splitByChar(',', substring(p.persons, 2))
                ))
            ), 15)),
        p.persons
    ) AS resolved_user_id
FROM (SELECT * FROM sessions FINAL WHERE is_deleted = 0) AS s
LEFT ANY JOIN person_keys AS p ON p.key = if(
    isNull(s.user_id),
    cityHash64(s.tenant_id, s.anonymous_id),
    cityHash64('user', s.tenant_id, assumeNotNull(s.user_id))
)
SETTINGS join_algorithm = 'hash';
