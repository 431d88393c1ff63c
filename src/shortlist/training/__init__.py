"""Training rerankers: policies, their objectives, loops, checkpoints."""
