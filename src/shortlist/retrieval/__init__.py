"""The first stage: which passages of a corpus to put forward."""
