"""Shortlist inside other people's frameworks: one thin file each, over the same rankers.

Every file imports its framework at its top, and raises :class:`~shortlist.errors.MissingExtra` if it is not installed.
What all share (how many to give back, what is told of each passage, what happens on errors) is in
:mod:`~shortlist.integrations.base`.
"""
