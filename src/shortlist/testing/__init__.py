"""Contracts, public on purpose: checks that any prompt, backend or ranker of yours can be put through, as ours are."""
