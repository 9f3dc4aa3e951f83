"""Receives what devices publish.

Comes in: MQTT messages, bytes on a topic. Goes out: Readings and device events, columnar, or a rejection with its
reason. It never stores anything itself (a callable does), never drops anything, and acknowledges a message only after
that callable has returned.
"""
