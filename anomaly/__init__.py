"""Sees that a component is failing, and says why.

Comes in: Windows. Goes out: Findings, episodes of abnormal behaviour with their evidence. It never contacts anybody.
"""
