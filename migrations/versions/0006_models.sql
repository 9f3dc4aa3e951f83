-- Up to which transaction the events of a device were looked at: what is stored later, though it happened before, still counts.
ALTER TABLE judged ADD COLUMN events_xact xid8 NOT NULL DEFAULT '0';

-- How long the component still has, in days from when the finding was last seen; NULL while it is not predictable.
ALTER TABLE finding ADD COLUMN remaining_p10_d double precision;
ALTER TABLE finding ADD COLUMN remaining_p50_d double precision;
ALTER TABLE finding ADD COLUMN remaining_p90_d double precision;

-- Models that were learnt from history. `live` judges, `shadow` is only watched. `packed` is loaded only if its hash is `sha256`.
CREATE TABLE model (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    profile       text NOT NULL,
    version       text NOT NULL,
    profile_hash  text NOT NULL,
    stage         text NOT NULL CHECK (stage IN ('live', 'shadow', 'retired')),
    created_at    timestamptz NOT NULL,
    staged_at     timestamptz NOT NULL,
    staged_by     text NOT NULL,
    reason        text NOT NULL,
    card          jsonb NOT NULL,
    packed        bytea NOT NULL,
    sha256        text NOT NULL,
    UNIQUE (profile, version)
);
CREATE UNIQUE INDEX one_live_model ON model (profile) WHERE stage = 'live';
CREATE UNIQUE INDEX one_shadow_model ON model (profile) WHERE stage = 'shadow';

-- Which model each stage had when: a row for each change.
CREATE TABLE model_change (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id      integer NOT NULL REFERENCES model (id),
    at            timestamptz NOT NULL,
    stage         text NOT NULL,
    actor         text NOT NULL,
    reason        text NOT NULL
);

-- What a shadow would have found. No ticket is ever opened for it.
CREATE TABLE shadow_finding (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id      integer NOT NULL REFERENCES model (id),
    device_id     integer NOT NULL REFERENCES device (id),
    component     text NOT NULL,
    failure_mode  text NOT NULL,
    began_at      timestamptz NOT NULL,
    opened_at     timestamptz NOT NULL,
    closed_at     timestamptz,
    score         double precision NOT NULL,
    because       text NOT NULL
);
CREATE UNIQUE INDEX one_open_shadow_finding ON shadow_finding (model_id, device_id, component, failure_mode) WHERE closed_at IS NULL;
