-- Whose an event is, decided when it is asked: its own user_id, else the user its visitor was linked to at that time,
-- else the first user the visitor was ever linked to; of a user that was aliased to another, that one (user_persons). No
-- row is rewritten, so an alias or an unlink takes effect at once and everywhere. e.* has the columns of materialized
-- properties too: `python -m schemas materialize` and `apply` write the view anew when there are others.
CREATE VIEW IF NOT EXISTS events_resolved AS
SELECT
    e.*,
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
    ) AS resolved_user_id
FROM events AS e
LEFT ANY JOIN person_keys AS p ON p.key = if(
    isNull(e.user_id),
    cityHash64(e.tenant_id, e.anonymous_id),
    cityHash64('user', e.tenant_id, assumeNotNull(e.user_id))
)
SETTINGS join_algorithm = 'hash', asterisk_include_materialized_columns = 1;
