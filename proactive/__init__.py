"""Turns findings into tickets and tickets into notices.

Comes in: Findings. Goes out: one living Ticket per fault, and Notices through an outbox. It never looks at telemetry.
"""
