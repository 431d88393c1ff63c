"""Rerankers: strategies decide, policies do, a driver stands between them."""
