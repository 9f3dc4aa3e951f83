"""The database's schema: numbered SQL files in `versions/` run once and are frozen; `idempotent/` runs every time."""
