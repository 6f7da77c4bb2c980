-- $count events from number $first on of a history of $rows: sessions of 1 to 20 events, 800,000 visitors in all of
-- whom a few come often and three in ten have a user id, nine in ten events of one tenant. Everything follows from the
-- event's number and $seed. Events of a session are 40 minutes apart: so its rows lie as far from each other as those
-- of a site with a hundred times the traffic, which is the hard case for indexes and for compression.
INSERT INTO events
(
    event_id, message_id, tenant_id, project_id, event_name, event_type, timestamp, received_at, anonymous_id, user_id,
    session_id, page_path, page_url, page_title, page_referrer, user_agent, device_type, os_name, os_version,
    browser_name, browser_version, ip_address, country_code, city, properties, sdk_version, processed_at,
    client_message_id, context, source_partition, source_offset, source_generation
)
WITH
    -- Of 64 events in a row: where each of their eight sessions begins.
    [0, 1, 3, 6, 11, 19, 29, 44] AS beginnings,
    number % 64 AS in_64,
    arrayCount(beginning -> beginning <= in_64, beginnings) AS session_in_64,
    in_64 - beginnings[session_in_64] AS in_session,
    intDiv(number, 64) * 8 + session_in_64 AS session,
    cityHash64(session, $seed) AS of_session,
    toUInt32($visitors * pow((of_session % 1000003) / 1000003, 1.5)) AS visitor,
    cityHash64(visitor, $seed) AS of_visitor,
    cityHash64(number, $seed) AS of_event,
    $end_ms - $span_ms + toInt64((number - in_64) * ($span_ms / $rows)) + toInt64(of_session % 1200000)
        + toInt64(in_session * 2400000 + of_event % 1200000) - 48000000 AS at_ms,
    lower(hex(sipHash128(number, $seed))) AS m,
    lower(hex(sipHash128(visitor, $seed))) AS v,
    lower(hex(sipHash128(session, $seed))) AS s,
    concat(substring(m, 1, 8), '-', substring(m, 9, 4), '-4', substring(m, 14, 3), '-a', substring(m, 18, 3), '-',
        substring(m, 21, 12)) AS message,
    concat(leftPad(lower(hex(at_ms)), 12, '0'), '7', substring(m, 1, 3), 'b', substring(m, 5, 15)) AS e,
    toString(multiIf(of_visitor % 100 < 90, 1, of_visitor % 100 < 95, 2, of_visitor % 100 < 98, 3, 4)) AS tenant,
    multiIf(of_event % 100 < 40, 'page', of_event % 100 < 97, 'track', 'identify') AS type,
    toUInt16(5000 * pow((of_event % 10007) / 10007, 2)) AS product,
    of_visitor % 4 + 1 AS kind,
    concat(
        [
            'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/',
            'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/',
            'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/',
            'Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/'
        ][kind],
        toString(100 + of_visitor % 37), '.', toString(of_visitor % 53), '.0.0 Safari/537.36'
    ) AS agent,
    ['Berlin', 'London', 'Paris', 'Madrid', 'Rome', 'Vienna', 'Oslo', 'Warsaw', 'Lisbon', 'Dublin'] AS cities,
    concat('/products/', toString(product)) AS path,
    concat('https://shop.example', path, '?ref=', toString(of_visitor % 7)) AS url,
    concat('Product ', toString(product), ' | Shop') AS title,
    if(
        in_session = 0,
        ['', '', 'https://search.example/', 'https://news.example/a/'][of_session % 4 + 1],
        concat('https://shop.example/products/', toString(of_event % 5000))
    ) AS referrer
SELECT
    toUUID(concat(substring(e, 1, 8), '-', substring(e, 9, 4), '-', substring(e, 13, 4), '-', substring(e, 17, 4), '-',
        substring(e, 21, 12))),
    toUUID(message),
    concat('tenant-', tenant),
    concat('0b0e4b26-6c2b-5d0e-8f7e-1d6f3c9a5e1', tenant),
    multiIf(
        type = 'identify', '',
        type = 'page', ['Home', 'Product', 'Cart', 'Checkout'][toUInt8(4 * pow((of_event % 997) / 997, 2)) + 1],
        concat(
            ['Product Viewed', 'Product Added', 'Order Completed', 'Search', 'Filter'][of_event % 5 + 1],
            if(of_event % 7 < 5, '', concat(' ', toString(of_event % 9)))
        )
    ),
    type,
    fromUnixTimestamp64Milli(at_ms),
    fromUnixTimestamp64Milli(at_ms + 20 + toInt64(of_event % 300)),
    concat(substring(v, 1, 8), '-', substring(v, 9, 4), '-4', substring(v, 14, 3), '-b', substring(v, 18, 3), '-',
        substring(v, 21, 12)),
    if(of_visitor % 10 < 3, concat('user-', toString(visitor)), NULL),
    concat(substring(s, 1, 8), '-', substring(s, 9, 4), '-5', substring(s, 14, 3), '-9', substring(s, 18, 3), '-',
        substring(s, 21, 12)),
    path, url, title, referrer, agent,
    ['desktop', 'desktop', 'mobile', 'mobile'][kind],
    ['Windows', 'macOS', 'iOS', 'Android'][kind],
    toString(10 + of_visitor % 9),
    ['Chrome', 'Safari', 'Mobile Safari', 'Chrome Mobile'][kind],
    concat(toString(100 + of_visitor % 37), '.0.0'),
    concat(toString(of_visitor % 223 + 1), '.', toString(intDiv(of_visitor, 223) % 256), '.',
        toString(intDiv(of_visitor, 57088) % 256), '.', toString(of_visitor % 251)),
    ['DE', 'GB', 'FR', 'ES', 'IT', 'AT', 'NO', 'PL', 'PT', 'IE'][of_visitor % 10 + 1],
    cities[of_visitor % 10 + 1],
    concat(
        '{"price":', toString((of_event % 100000) / 100), ',"sku":"S-', toString(product * 2 + of_event % 2),
        '","currency":"EUR","quantity":', toString(of_event % 4 + 1), ',"category":"',
        ['shoes', 'shirts', 'bags', 'hats'][product % 4 + 1], '"}'
    ),
    'next-1.84.3',
    fromUnixTimestamp64Milli(at_ms + 400 + toInt64(of_event % 700)),
    if(of_visitor % 10 < 6, concat('ajs-next-', toString(at_ms), '-', message), message),
    concat(
        '{"library":{"name":"analytics.js","version":"next-1.84.3"},"page":{"path":"', path, '","url":"', url,
        '","title":"', title, '","referrer":"', referrer, '","search":"?ref=', toString(of_visitor % 7),
        '"},"locale":"', ['en-GB', 'de-DE', 'fr-FR'][of_visitor % 3 + 1], '","timezone":"Europe/',
        cities[of_visitor % 10 + 1], '","userAgent":"', agent, '","screen":{"width":',
        toString(1280 + of_visitor % 5 * 160), ',"height":1080,"density":2}',
        if(
            of_session % 5 < 2,
            concat(',"campaign":{"source":"', ['newsletter', 'ads'][of_session % 2 + 1],
                '","medium":"email","name":"autumn-', toString(of_session % 11), '"}'),
            ''
        ),
        '}'
    ),
    of_visitor % 12, intDiv(number, 12), 1
FROM numbers($first, $count)
