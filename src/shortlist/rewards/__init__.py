"""Rewards: what a shortlist is worth, prefix by prefix, and the environment that finds it out at the least cost."""
