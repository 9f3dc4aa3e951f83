-- Customers and their devices.
CREATE TABLE customer (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    external_id   text NOT NULL UNIQUE,
    name          text NOT NULL,
    email         text NOT NULL DEFAULT '',
    phone         text NOT NULL DEFAULT '',
    language      text NOT NULL DEFAULT 'en',
    time_zone     text NOT NULL DEFAULT 'UTC',
    consent       boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE device (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE,
    profile       text NOT NULL,
    customer_id   integer REFERENCES customer (id),
    model         text NOT NULL DEFAULT '',
    serial        text NOT NULL DEFAULT '',
    firmware      text NOT NULL DEFAULT '',
    site          text NOT NULL DEFAULT '',
    address       text NOT NULL DEFAULT '',
    status        text NOT NULL DEFAULT 'unknown' CHECK (status IN ('unknown', 'online', 'offline')),
    status_at     timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX device_by_profile ON device (profile, id);

-- Telemetry. A series is one signal of one device; readings know only its number.
CREATE TABLE series (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id     integer NOT NULL REFERENCES device (id),
    signal        text NOT NULL,
    UNIQUE (device_id, signal)
);

-- quality: 0 good, 1 outside the sensor's range, 2 device clock ahead (time moved to the server's).
CREATE TABLE reading (
    series_id     integer NOT NULL,
    time          timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,
    value         double precision NOT NULL,
    quality       smallint NOT NULL,
    PRIMARY KEY (series_id, time)
);

-- What each committed batch touched, so that detection can follow what was stored. `xact` lets a reader stop before
-- transactions that are still open: ids are drawn before the commit and may become visible out of order.
CREATE TABLE batch (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xact          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    stored_at     timestamptz NOT NULL,
    readings      integer NOT NULL,
    devices       integer[] NOT NULL,
    first_times   timestamptz[] NOT NULL,
    last_times    timestamptz[] NOT NULL
);
CREATE INDEX batch_by_xact ON batch (xact);

CREATE TABLE device_event (
    device_id     integer NOT NULL REFERENCES device (id),
    time          timestamptz NOT NULL,
    kind          text NOT NULL,
    code          text NOT NULL,
    received_at   timestamptz NOT NULL,
    detail        jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (device_id, time, kind, code)
);

CREATE TABLE dead_letter (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at   timestamptz NOT NULL,
    topic         text NOT NULL,
    payload       bytea NOT NULL,
    payload_bytes integer NOT NULL,
    reason        text NOT NULL,
    detail        text NOT NULL
);

-- Detection. The cursor stands at the last transaction whose batches were judged; its row is the lock of a turn. The state of each detector for each device is one opaque, versioned record of fixed size.
CREATE TABLE detection_cursor (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    xact          xid8 NOT NULL DEFAULT '0',
    turn          bigint NOT NULL DEFAULT 0
);
INSERT INTO detection_cursor DEFAULT VALUES;

CREATE TABLE detector_state (
    device_id     integer NOT NULL REFERENCES device (id),
    detector      text NOT NULL,
    version       text NOT NULL,
    state         bytea NOT NULL,
    PRIMARY KEY (device_id, detector)
);

-- Start of the first tick that is not judged yet (device time), and when the device was last heard (server time).
CREATE TABLE judged (
    device_id     integer PRIMARY KEY REFERENCES device (id),
    until         timestamptz NOT NULL,
    heard_at      timestamptz NOT NULL
);

CREATE TABLE finding (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id     integer NOT NULL REFERENCES device (id),
    kind          text NOT NULL CHECK (kind IN ('degradation', 'limit', 'silence')),
    component     text NOT NULL,
    failure_mode  text NOT NULL,
    severity      text NOT NULL,
    detector      text NOT NULL,
    version       text NOT NULL,
    began_at      timestamptz NOT NULL,
    opened_at     timestamptz NOT NULL,
    extended_at   timestamptz NOT NULL,
    closed_at     timestamptz,
    score         double precision NOT NULL,
    peak_score    double precision NOT NULL,
    because       text NOT NULL,
    evidence      jsonb NOT NULL,
    stored_at     timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL
);
CREATE UNIQUE INDEX one_open_finding ON finding (device_id, component, failure_mode) WHERE closed_at IS NULL;
CREATE INDEX finding_by_device ON finding (device_id, opened_at DESC);

-- Tickets: one living case per device, component and failure mode.
CREATE TABLE ticket (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id     integer NOT NULL REFERENCES device (id),
    component     text NOT NULL,
    failure_mode  text NOT NULL,
    state         text NOT NULL CHECK (state IN ('new', 'open', 'pending', 'on_hold', 'solved', 'closed')),
    resolution    text CHECK (resolution IN ('confirmed', 'no_fault_found', 'already_fixed', 'declined', 'duplicate')),
    severity      text NOT NULL,
    assignee      text NOT NULL DEFAULT '',
    subject       text NOT NULL,
    opened_at     timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL,
    solved_at     timestamptz,
    CHECK ((state IN ('solved', 'closed')) = (resolution IS NOT NULL))
);
CREATE UNIQUE INDEX one_living_ticket ON ticket (device_id, component, failure_mode) WHERE state <> 'closed';
CREATE INDEX ticket_by_change ON ticket (changed_at DESC, id DESC);

-- What was decided about each finding, and up to which of its changes; no ticket where none was opened for it.
CREATE TABLE ticket_finding (
    finding_id    bigint PRIMARY KEY REFERENCES finding (id),
    ticket_id     bigint REFERENCES ticket (id),
    seen_change   timestamptz NOT NULL,
    decision      text NOT NULL
);
CREATE INDEX ticket_finding_by_ticket ON ticket_finding (ticket_id);

CREATE TABLE timeline_entry (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id     bigint NOT NULL REFERENCES ticket (id),
    at            timestamptz NOT NULL,
    kind          text NOT NULL,
    actor         text NOT NULL,
    summary       text NOT NULL,
    detail        jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX timeline_by_ticket ON timeline_entry (ticket_id, id);

-- The outbox: written with the ticket in one transaction, sent later, once for each idempotency key. `sending` is
-- committed before the message leaves: a crash in between is never answered by a second message.
CREATE TABLE notice (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id       bigint NOT NULL REFERENCES ticket (id),
    step            integer NOT NULL,
    channel         text NOT NULL,
    idempotency_key text NOT NULL UNIQUE,
    recipient       text NOT NULL,
    language        text NOT NULL,
    subject         text NOT NULL,
    body_text       text NOT NULL,
    body_html       text NOT NULL,
    state           text NOT NULL CHECK (state IN ('due', 'sending', 'sent', 'failed', 'cancelled')),
    reason          text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    claimed_at      timestamptz,
    sent_at         timestamptz,
    receipt         text NOT NULL DEFAULT ''
);
CREATE INDEX notice_due ON notice (due_at) WHERE state = 'due';
CREATE INDEX notice_by_ticket ON notice (ticket_id, id);

-- Bearer tokens; only a hash is kept.
CREATE TABLE api_token (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE,
    role          text NOT NULL CHECK (role IN ('viewer', 'agent', 'admin')),
    sha256        bytea NOT NULL UNIQUE,
    created_at    timestamptz NOT NULL DEFAULT now(),
    revoked_at    timestamptz
);
