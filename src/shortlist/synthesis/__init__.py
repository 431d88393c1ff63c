"""Recipes that make training lists: draws, bands, teachers, groups, experts, imitation, queries; and a retriever.

Each recipe is a frozen dataclass whose fields are its settings, with a method that takes requests (or lessons) and
yields :class:`~shortlist.data.lessons.Lesson`. What it leaves out, and why, it counts in the ``tally`` it is given.
Everything drawn at random comes from a generator of (seed, query, …): the same settings give the same lessons, whatever
the order of the queries, and an interrupted job goes on to the same end.
"""
