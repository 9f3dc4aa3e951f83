-- Of a signal that is a number of a mode: the one that most readings of the hour have, and how many have it. NULL for all others, and for hours made before the profile called it a mode.
ALTER TABLE reading_hour ADD COLUMN mode double precision;
ALTER TABLE reading_hour ADD COLUMN mode_readings integer;
