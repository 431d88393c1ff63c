"""Prompts that ask and read: the words put before a model, and the parsers of what it says."""
