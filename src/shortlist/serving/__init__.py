"""Rerankers behind HTTP: one engine that shares batches between requests, and the wire dialects of today's clients.

:mod:`~shortlist.serving.app` has ``create_app``; :mod:`~shortlist.serving.engine` knows nothing of HTTP and serves other
front ends as well. Importing this package loads neither fastapi nor any model.
"""
