-- Which model judged before this one went live: it judges again when this one is taken back.
ALTER TABLE model_change ADD COLUMN instead_of integer REFERENCES model (id);
CREATE INDEX model_change_by_model ON model_change (model_id, id);

-- When a shadow's finding was stored, by the server's clock, as findings are: the two are compared from the same hour on.
ALTER TABLE shadow_finding ADD COLUMN stored_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX shadow_finding_by_time ON shadow_finding (model_id, stored_at);
CREATE INDEX finding_by_time ON finding (stored_at);

-- The newest look at whether devices still send what a model was learnt from.
CREATE TABLE model_drift (
    model_id      integer PRIMARY KEY REFERENCES model (id),
    at            timestamptz NOT NULL,
    found         jsonb NOT NULL
);
