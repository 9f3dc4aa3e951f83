"""Stores readings for good and gives them back as windows.

Comes in: Readings. Goes out: Windows, arrays by device, tick and signal with gaps as gaps. It never judges a value.
"""
