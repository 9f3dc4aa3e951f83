-- What only TimescaleDB's community licence allows; run where `SHOW timescaledb.license` says `timescale`.
-- Compressed later than late data arrives: a device may deliver a month that it buffered, and rows for a compressed chunk
-- cost much more. The segments and their order are those of the two queries: one series over a range, its newest row.
ALTER TABLE reading SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'time DESC');
SELECT add_compression_policy('reading', INTERVAL '45 days', if_not_exists => true);
