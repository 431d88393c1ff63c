"""What Prometheus is told. Every app has a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from shortlist.serving.asking import Ranked
from shortlist.serving.lanes import Judged

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters, histograms and gauges."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "Replies, by route and HTTP status.", "route", "status")
        self.seconds = self._histogram("request_seconds", "From the request to its reply.", _SECONDS, "route")
        self.rankings = self._counter("rankings", "Rankings, by how they came about.", "model", "status")
        self.documents = self._counter("documents", "Passages ranked.", "model")
        self.tokens = self._counter("tokens", "What models read and wrote.", "model", "kind")
        self.cached = self._counter("cached_calls", "Calls answered from the cache.", "model")
        self.unjudged = self._counter("unjudged_documents", "Passages that no verdict spoke of.", "model")
        self.truncated = self._counter("truncated_documents", "Passages that were cut.", "model")
        self.expired = self._counter("deadlines_passed", "Requests answered with the best so far.", "model")
        self.rejected = self._counter("rejected", "Requests turned away.", "reason")
        self.cancelled = self._counter("cancelled", "Requests whose client hung up.")
        self.batch_items = self._histogram("batch_items", "Slates a batch.", _SIZES, "lane")
        self.batch_jobs = self._histogram("batch_requests", "Requests that shared a batch.", _SIZES, "lane")
        self.batch_seconds = self._histogram("batch_seconds", "Time a batch took.", _SECONDS, "lane")
        self.open = Gauge("shortlist_open_requests", "Requests under way.", registry=self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"shortlist_{name}", about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"shortlist_{name}", about, labels, buckets=buckets, registry=self.registry)

    def batch(self, judged: Judged) -> None:
        """A batch was judged."""
        self.batch_items.labels(judged.lane).observe(judged.items)
        self.batch_jobs.labels(judged.lane).observe(judged.jobs)
        self.batch_seconds.labels(judged.lane).observe(judged.seconds)

    def ranked(self, ranked: Ranked) -> None:
        """A ranking was made."""
        model, ranking, usage = ranked.model, ranked.ranking, ranked.ranking.usage
        self.rankings.labels(model, ranking.status.value).inc()
        self.documents.labels(model).inc(len(ranking))
        self.tokens.labels(model, "prompt").inc(usage.prompt_tokens)
        self.tokens.labels(model, "completion").inc(usage.completion_tokens)
        self.cached.labels(model).inc(usage.cached_calls)
        self.unjudged.labels(model).inc(len(ranking.unjudged))
        self.truncated.labels(model).inc(ranking.truncated)
        self.expired.labels(model).inc(ranked.expired)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)
