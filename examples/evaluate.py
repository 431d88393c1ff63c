"""Compare two rankers with their first stage on a small collection, with confidence and a report.

The rankers are toys here; `open_reranker("cross-encoder:minilm-l12")` goes in their place.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from shortlist import Candidate, Document, Query, Reranker, RerankRequest
from shortlist.backends.scripted import ScriptedPairScorer
from shortlist.evaluation import compare, evaluate, print_table, write_report
from shortlist.rerankers.compose import Keep
from shortlist.rerankers.cutoffs import Threshold
from shortlist.rerankers.policies import PairPolicy
from shortlist.rerankers.strategies import Pointwise

TOPICS = ("rice", "yeast", "stock", "eggs", "bread", "tea", "salt", "plums")

documents = [Document(id=topic, text=f"Everything about {topic}.") for topic in TOPICS]
requests = [
    RerankRequest(
        Query(id=f"q{i}", text=topic), tuple(Candidate(d, float(-place)) for place, d in enumerate(documents))
    )
    for i, topic in enumerate(TOPICS)
]
qrels = {f"q{i}": {topic: 1} for i, topic in enumerate(TOPICS)}

by_words = ScriptedPairScorer(lambda pair: float(pair.query in pair.passage))
reranker = Reranker(policy=PairPolicy(scorer=by_words), strategy=Pointwise(), name="words")
short = Keep(Reranker(policy=PairPolicy(scorer=by_words), strategy=Pointwise(), name="words, kept"), Threshold(0.5))

experiment = evaluate([reranker, short], requests, qrels, ["nDCG@10", "RR@10"])
comparisons = compare(experiment)
print_table(experiment, comparisons)
with TemporaryDirectory() as folder:
    report = Path(folder) / "report.html"
    write_report(experiment, report, comparisons)
    print(f"{report.name}: {report.stat().st_size // 1000} kB")
