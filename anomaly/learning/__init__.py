"""Learns models of failures that are known. Comes in: windows of a history, and what failed when. Goes out: a `Model`, which the
detector `failure_model` judges by. It judges nothing itself.
"""
