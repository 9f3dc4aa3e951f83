-- What a device's states were a while ago, so that readings which come late are judged again from there. `until` is the start of the first tick that was not judged then; `events_xact` as in `judged`.
CREATE TABLE detector_checkpoint (
    device_id     integer NOT NULL REFERENCES device (id),
    until         timestamptz NOT NULL,
    detector      text NOT NULL,
    version       text NOT NULL,
    events_xact   xid8 NOT NULL,
    state         bytea NOT NULL,
    PRIMARY KEY (device_id, until, detector)
);

-- Why a finding no longer holds: what came late showed that nothing was abnormal. Empty for all others.
ALTER TABLE finding ADD COLUMN withdrawn text NOT NULL DEFAULT '';
