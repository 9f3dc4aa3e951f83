-- When a dead letter was last tried again, and why it was left. NULL: never.
ALTER TABLE dead_letter ADD COLUMN tried_at timestamptz;
ALTER TABLE dead_letter ADD COLUMN left_because text;
