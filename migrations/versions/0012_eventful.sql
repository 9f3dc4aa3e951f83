-- A device that never measured anything is judged by its events alone: it has no `heard_at`, and `spoke_at` is when the newest of them happened (device time).
ALTER TABLE judged ALTER COLUMN heard_at DROP NOT NULL;
ALTER TABLE judged ADD COLUMN spoke_at timestamptz;
-- Those of which something is left to be judged once its tick is over.
CREATE INDEX judged_waiting ON judged (device_id) WHERE spoke_at >= until;
