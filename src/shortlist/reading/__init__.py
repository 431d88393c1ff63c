"""Readers: the models that answer from the passages that were kept."""
