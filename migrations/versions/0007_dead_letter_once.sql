-- A dead letter whose acknowledgement got lost comes again: by `packet`, the broker's number of the message, and its content it is
-- known again; what the gateway itself stores twice, not knowing whether a commit arrived, has the same time of receipt.
ALTER TABLE dead_letter ADD COLUMN packet integer NOT NULL DEFAULT 0;
DELETE FROM dead_letter USING dead_letter AS first
WHERE first.id < dead_letter.id AND first.received_at = dead_letter.received_at
  AND (first.topic, first.payload, first.reason) = (dead_letter.topic, dead_letter.payload, dead_letter.reason);
CREATE UNIQUE INDEX dead_letter_once ON dead_letter (md5(payload), md5(topic), reason, received_at);
