-- Signs of life: which processes there are and how each said it was.
CREATE TABLE heartbeat (
    part          text NOT NULL,
    instance      text NOT NULL,
    at            timestamptz NOT NULL,
    detail        jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (part, instance)
);

-- Readings of one hour as one row, for charts over months. They are kept when the readings themselves are dropped.
CREATE TABLE reading_hour (
    series_id     integer NOT NULL,
    hour          timestamptz NOT NULL,
    readings      integer NOT NULL,
    mean          double precision NOT NULL,
    least         double precision NOT NULL,
    greatest      double precision NOT NULL,
    PRIMARY KEY (series_id, hour)
);

-- Up to which transaction the hours are made; its row is the lock of a turn. Readings measured before `kept` are dropped:
-- an hour before it is not made anew.
CREATE TABLE rollup_cursor (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    xact          xid8 NOT NULL DEFAULT '0',
    kept          timestamptz
);
INSERT INTO rollup_cursor DEFAULT VALUES;
