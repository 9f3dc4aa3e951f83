-- The condition of each component, 1 where nothing deviates to 0; NULL while it is not known. `at` is the device's time, `since` when it last became known, fell below 0.5 or rose above it.
CREATE TABLE component_health (
    device_id     integer NOT NULL REFERENCES device (id),
    component     text NOT NULL,
    health        double precision CHECK (health BETWEEN 0 AND 1),
    at            timestamptz NOT NULL,
    since         timestamptz NOT NULL,
    PRIMARY KEY (device_id, component)
);
