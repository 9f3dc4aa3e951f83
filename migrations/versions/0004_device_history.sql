-- By how many seconds a device's clock is behind ours; negative when it is ahead, NULL while not known.
ALTER TABLE device ADD COLUMN clock_skew_s double precision;

-- Lets detection follow events that were stored, as it follows `batch`.
ALTER TABLE device_event ADD COLUMN xact xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX device_event_by_xact ON device_event (xact);

-- What a device said of itself, like its firmware: a row for each value, from when it was first said.
CREATE TABLE device_attribute (
    device_id     integer NOT NULL REFERENCES device (id),
    name          text NOT NULL,
    since         timestamptz NOT NULL,
    value         text NOT NULL,
    PRIMARY KEY (device_id, name, since)
);
