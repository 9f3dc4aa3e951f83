"""Shows everything and takes decisions: REST under /api/v1, the pages, health and metrics.

Comes in: HTTP requests. Goes out: JSON, pages, problem details. It never decides itself: it calls the stages.
"""
