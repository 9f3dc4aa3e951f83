"""A fleet of simulated products with known faults, as their maker would ship it: it speaks MQTT, nothing else.

Comes in: a seed and a plan. Goes out: MQTT messages and a file with the ground truth. It imports nothing of Forewarn.
"""
