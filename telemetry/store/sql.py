"""The named queries of this stage, loaded once."""

from core.database import Queries

SQL = Queries("telemetry")
