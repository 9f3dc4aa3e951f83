-- find_devices: Devices by name.
SELECT id, name, profile FROM device WHERE name = ANY(%(names)s);

-- add_series: The series of devices, for each signal of each one's profile, where they are missing.
INSERT INTO series (device_id, signal)
SELECT wanted.device_id, wanted.signal
FROM unnest(%(devices)s::integer[], %(signals)s::text[]) AS wanted (device_id, signal)
WHERE NOT EXISTS (SELECT FROM series WHERE (series.device_id, series.signal) = (wanted.device_id, wanted.signal))
ORDER BY wanted.device_id, wanted.signal
ON CONFLICT DO NOTHING;

-- find_series: All series of devices.
SELECT id, device_id, signal FROM series WHERE device_id = ANY(%(devices)s);

-- copy_readings: The fast way for readings that are all new.
COPY reading (series_id, time, received_at, value, quality) FROM STDIN (FORMAT binary);

-- make_incoming: A place beside `reading` for a batch of which some rows may be stored already.
CREATE TEMPORARY TABLE incoming (
    series_id integer, time timestamptz, received_at timestamptz, value double precision, quality smallint
) ON COMMIT DROP;

-- copy_incoming: The batch, into that place.
COPY incoming (series_id, time, received_at, value, quality) FROM STDIN (FORMAT binary);

-- merge_incoming: Stores what is new of it; tells what that was, by device.
WITH stored AS (
    INSERT INTO reading (series_id, time, received_at, value, quality)
    SELECT series_id, time, received_at, value, quality FROM incoming ORDER BY series_id, time
    ON CONFLICT DO NOTHING
    RETURNING series_id, time
)
SELECT series.device_id, min(stored.time) AS first, max(stored.time) AS last, count(*) AS readings
FROM stored JOIN series ON series.id = stored.series_id
GROUP BY series.device_id;

-- add_batch: Tells detection what was stored.
INSERT INTO batch (stored_at, readings, devices, first_times, last_times)
VALUES (%(stored_at)s, %(readings)s, %(devices)s, %(first_times)s, %(last_times)s);

-- add_events: Device events; one that is stored already stays as it is.
INSERT INTO device_event (device_id, time, kind, code, received_at, detail)
SELECT * FROM unnest(
    %(devices)s::integer[], %(times)s::timestamptz[], %(kinds)s::text[], %(codes)s::text[],
    %(received)s::timestamptz[], %(details)s::jsonb[])
ON CONFLICT DO NOTHING;

-- lock_status: What is known of the connection of devices; the rows are ours until the transaction ends.
SELECT id, status, status_at FROM device WHERE id = ANY(%(devices)s) ORDER BY id FOR UPDATE;

-- set_status: The new status of devices.
UPDATE device SET status = new.status, status_at = new.at
FROM unnest(%(devices)s::integer[], %(statuses)s::text[], %(times)s::timestamptz[]) AS new (id, status, at)
WHERE device.id = new.id;

-- lock_attributes: What devices said of themselves under some names, oldest first; those devices are ours until the transaction ends.
WITH mine AS (SELECT id FROM device WHERE id = ANY(%(devices)s) ORDER BY id FOR UPDATE)
SELECT device_attribute.device_id, device_attribute.name, since, value
FROM device_attribute JOIN mine ON mine.id = device_attribute.device_id
WHERE device_attribute.name = ANY(%(names)s)
ORDER BY device_attribute.device_id, device_attribute.name, since;

-- remove_attributes: Changes that are none any more, since an earlier one is known.
DELETE FROM device_attribute
USING unnest(%(devices)s::integer[], %(names)s::text[], %(times)s::timestamptz[]) AS gone (device_id, name, since)
WHERE (device_attribute.device_id, device_attribute.name, device_attribute.since) = (gone.device_id, gone.name, gone.since);

-- add_attributes: From when on an attribute of a device has a value.
INSERT INTO device_attribute (device_id, name, since, value)
SELECT * FROM unnest(%(devices)s::integer[], %(names)s::text[], %(times)s::timestamptz[], %(values)s::text[])
ON CONFLICT (device_id, name, since) DO UPDATE SET value = EXCLUDED.value;

-- set_firmware: The firmware that devices said they have.
UPDATE device SET firmware = new.firmware
FROM unnest(%(devices)s::integer[], %(values)s::text[]) AS new (id, firmware)
WHERE device.id = new.id AND device.firmware <> new.firmware;

-- set_clock_skews: By how many seconds the clocks of devices are behind ours.
UPDATE device SET clock_skew_s = new.skew
FROM unnest(%(devices)s::integer[], %(skews)s::double precision[]) AS new (id, skew)
WHERE device.id = new.id;

-- add_dead_letters: Messages, or parts of them, that could not be used; what comes again and is there already is not added.
INSERT INTO dead_letter (received_at, topic, payload, payload_bytes, reason, detail, packet)
SELECT received_at, topic, payload, payload_bytes, reason, detail, packet
FROM unnest(
    %(received)s::timestamptz[], %(topics)s::text[], %(payloads)s::bytea[], %(sizes)s::integer[],
    %(reasons)s::text[], %(details)s::text[], %(packets)s::integer[], %(again)s::boolean[])
    AS new (received_at, topic, payload, payload_bytes, reason, detail, packet, again)
WHERE NOT (again AND EXISTS (
    SELECT FROM dead_letter AS old
    WHERE md5(old.payload) = md5(new.payload) AND md5(old.topic) = md5(new.topic)
      AND old.reason = new.reason AND old.packet = new.packet))
ON CONFLICT DO NOTHING;

-- list_dead_letters: The newest dead letters, of one reason or of all, received in a span of time.
SELECT id, received_at, topic, payload_bytes, reason, detail FROM dead_letter
WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY id DESC LIMIT %(limit)s;

-- count_dead_letters: How many there are of each reason, and since when.
SELECT reason, count(*) AS letters, min(received_at) AS first, max(received_at) AS last
FROM dead_letter GROUP BY reason ORDER BY reason;

-- find_dead_letter: One dead letter with its payload.
SELECT id, received_at, topic, payload, payload_bytes, reason, detail, left_because FROM dead_letter WHERE id = %(id)s;

-- next_dead_letters: Dead letters after one, oldest first, that match what is given.
SELECT id, received_at, topic, payload, payload_bytes, reason, detail, left_because FROM dead_letter
WHERE id > %(after)s AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s))
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND (%(before)s::timestamptz IS NULL OR received_at < %(before)s)
ORDER BY id LIMIT %(limit)s;

-- delete_dead_letter: Takes one dead letter away.
DELETE FROM dead_letter WHERE id = %(id)s;

-- leave_dead_letter: Says when a dead letter was tried again, and why it is left.
UPDATE dead_letter SET tried_at = %(tried_at)s, left_because = %(because)s WHERE id = %(id)s;

-- purge_dead_letters: Takes dead letters away that match what is given.
DELETE FROM dead_letter
WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s))
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND (%(before)s::timestamptz IS NULL OR received_at < %(before)s);

-- put_customers: Customers by their external id: new, or brought to what is given.
INSERT INTO customer (external_id, name, email, phone, language, time_zone, consent)
SELECT external_id, name, email, phone, language, time_zone, consent
FROM jsonb_to_recordset(%(customers)s) AS given (
    external_id text, name text, email text, phone text, language text, time_zone text, consent boolean)
ORDER BY external_id
ON CONFLICT (external_id) DO UPDATE SET
    name = EXCLUDED.name, email = EXCLUDED.email, phone = EXCLUDED.phone, language = EXCLUDED.language,
    time_zone = EXCLUDED.time_zone, consent = EXCLUDED.consent;

-- put_devices: Devices by name: new, or brought to what is given; tells their numbers.
INSERT INTO device (name, profile, customer_id, model, serial, firmware, site, address)
SELECT given.name, given.profile, customer.id, given.model, given.serial, given.firmware, given.site, given.address
FROM jsonb_to_recordset(%(devices)s) AS given (
    name text, profile text, customer text, model text, serial text, firmware text, site text, address text)
LEFT JOIN customer ON customer.external_id = given.customer
ORDER BY given.name
ON CONFLICT (name) DO UPDATE SET
    profile = EXCLUDED.profile, customer_id = EXCLUDED.customer_id, model = EXCLUDED.model, serial = EXCLUDED.serial,
    -- What the device said of itself stays unless the list knows better.
    firmware = coalesce(nullif(EXCLUDED.firmware, ''), device.firmware), site = EXCLUDED.site, address = EXCLUDED.address
RETURNING id, name;

-- list_devices: Devices with their customers, by name; all, or one.
SELECT device.id, device.name, device.profile, device.model, device.serial, device.firmware, device.site,
       device.address, device.status, device.status_at, device.created_at, customer.external_id AS customer,
       customer.name AS customer_name, customer.email, customer.phone, customer.language, customer.time_zone,
       customer.consent
FROM device LEFT JOIN customer ON customer.id = device.customer_id
WHERE %(name)s::text IS NULL OR device.name = %(name)s
ORDER BY device.name;
