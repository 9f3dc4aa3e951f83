-- Sensor faults are findings of their own kind: they blame no component and open no ticket.
ALTER TABLE finding DROP CONSTRAINT finding_kind_check;
ALTER TABLE finding ADD CONSTRAINT finding_kind_check
    CHECK (kind IN ('degradation', 'limit', 'silence', 'sensor'));
