"""A strategy of one's own, run with a policy that follows a script: no model is needed to try an idea out.

King of the hill: the first passage holds the top until a challenger beats it; what was beaten keeps its order.
"""

from dataclasses import dataclass

from shortlist import Choice, Ranking, Reranker, RerankRequest, Slate
from shortlist.testing.rerankers import check_strategy, chooser
from shortlist.types import Flow


@dataclass(frozen=True)
class KingOfTheHill:
    """Finds the best passage with n − 1 comparisons."""

    def flow(self, request: RerankRequest, /) -> Flow[Choice]:
        """The flow for one request."""
        king, heard = 0, set[int]()
        for challenger in range(1, len(request)):
            pair = (request.candidates[king], request.candidates[challenger])
            (verdict,) = yield [Slate(request.query, pair)]
            if verdict.best is not None:
                heard |= {king, challenger}
            king = challenger if verdict.best == 1 else king
        order = sorted(range(len(request)), key=lambda place: (place != king, place))
        unjudged = sorted(set(range(len(request))) - heard) if len(request) > 1 else ()
        return Ranking.of(request, order, unjudged=tuple(unjudged))


longest = chooser(lambda candidate: len(candidate.document.text))
reranker = Reranker(policy=longest, strategy=KingOfTheHill(), name="king of the hill")
(ranking,) = reranker.rerank([RerankRequest.of("the longest", ["a", "abc", "ab", "abcd", "abc"])])
print(ranking.ids, f"{ranking.usage.calls} calls, {ranking.status}")

check_strategy(KingOfTheHill(), ["choice"], settles=1, sizes=(0, 1, 2, 5, 20))
print("keeps the contract of strategies")
