"""Measures the platform on one machine: it brings up its own broker and database and prints what it saw."""
