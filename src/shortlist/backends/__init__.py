"""Models: what runs them, and one narrow seam to all of them (see :mod:`shortlist.backends.base`)."""
