"""Strategies: which slates to ask about. One file each; none calls anything."""
