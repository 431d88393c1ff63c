"""Training of text policies: the model reads a prompt of :mod:`shortlist.text`, writes a reply, and learns from it.

Imitation (SFT), preference (DPO) and reinforcement (GRPO) run on TRL behind one small adapter; prompts, parsers and
driver are those that rerank and serve. Begin with :mod:`~shortlist.training.text.run`.
"""
