-- What TimescaleDB adds to plain PostgreSQL: readings in chunks by time; why seven
-- days stands in docs/ingest.md. Run after the numbered files, every time.
SELECT create_hypertable('reading', by_range('time', INTERVAL '7 days'),
                         create_default_indexes => false, if_not_exists => true, migrate_data => true);
