"""Rerank a few passages in Python, keep as many as stand out, and say how the ranking came about."""

from shortlist import Document, Shortlist

passages = [
    Document(id="water", text="Rice is grown in flooded fields.", title="Rice"),
    Document(id="fridge", text="Cooked rice keeps three to four days in the fridge.", title="Leftovers"),
    Document(id="freezer", text="Frozen, cooked rice keeps for a month or more.", title="Leftovers"),
    Document(id="knives", text="Keep your knives dry and sharp.", title="Tools"),
]

reranker = Shortlist("cross-encoder:minilm-l12?keep=gap:3")
ranking = reranker.rank("how long does cooked rice keep", passages)

for rank, (candidate, score) in enumerate(zip(ranking, ranking.scores or (), strict=True), 1):
    mark = "kept" if rank <= len(ranking.kept) else ""
    print(f"{rank}. {score:7.3f}  {candidate.id:8} {mark}")
print(f"status {ranking.status}, {ranking.usage.calls} calls, {ranking.usage.tokens} tokens")
