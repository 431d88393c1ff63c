"""Files in and out: collections, runs, judgements, requests and rankings, read and written as streams.

>>> from shortlist.data import RunFile, open_collection, requests
>>> collection = open_collection("my-collection")  # doctest: +SKIP
>>> for request in requests(collection, RunFile("bm25.trec"), depth=100):  # doctest: +SKIP
...     print(request.query.text, len(request))
"""

from shortlist.data.beir import BeirCollection, read_queries, write_collection
from shortlist.data.collection import Collection, excluded_ids, open_collection
from shortlist.data.corpus import Corpus
from shortlist.data.exchange import FORMATS, read_requests, write_requests
from shortlist.data.files import read_jsonl, write_jsonl
from shortlist.data.jsonl import (
    ranking_from_json,
    ranking_to_json,
    read_rankings,
    request_from_json,
    request_to_json,
    rollout_to_json,
)
from shortlist.data.qrels import read_qrels, write_qrels
from shortlist.data.requests import CandidatesHash, Missing, candidates_hash, requests
from shortlist.data.resume import ResumableWriter
from shortlist.data.trec import RunFile, iter_run, read_run, write_run

__all__ = [
    "FORMATS",
    "BeirCollection",
    "CandidatesHash",
    "Collection",
    "Corpus",
    "Missing",
    "ResumableWriter",
    "RunFile",
    "candidates_hash",
    "excluded_ids",
    "iter_run",
    "open_collection",
    "ranking_from_json",
    "ranking_to_json",
    "read_jsonl",
    "read_qrels",
    "read_queries",
    "read_rankings",
    "read_requests",
    "read_run",
    "request_from_json",
    "request_to_json",
    "requests",
    "rollout_to_json",
    "write_collection",
    "write_jsonl",
    "write_qrels",
    "write_requests",
    "write_run",
]
