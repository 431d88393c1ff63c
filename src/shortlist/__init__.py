"""Shortlist: rerank passages with any model, keep as many as the reader needs, and measure it."""
