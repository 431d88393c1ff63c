"""What the tests of clients share: a server in a thread with a real socket, what it is asked, and what is right."""

from __future__ import annotations

import math
import threading
import time
import warnings
from contextlib import contextmanager

import pytest
from serving_doubles import QUERY, TEXTS, listwise, pointwise

from shortlist.serving.app import create_app
from shortlist.types import RerankRequest

KEY = "a-key-of-ours"

CARELESS = [  # clients that leave their sockets and loops to the garbage collector, and use what is deprecated
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def imported(name):
    """A client's module, whatever it warns of while it is imported; the test is skipped without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed; scripts/client_tests.sh has every client")


@contextmanager
def on_loopback(*rankers, **options):
    """The address of a server of these rankers: uvicorn's own loop in a thread, a real socket."""
    import uvicorn

    config = uvicorn.Config(create_app(rankers, **options), host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def _ranking(ranker, query, texts):
    (ranking,) = ranker.rerank([RerankRequest.of(query, texts)])
    return ranking


def right_order(query=QUERY, texts=TEXTS):
    """What the library itself makes of it, pointwise."""
    return list(_ranking(pointwise(), query, texts).order)


def right_scores():
    """The library's scores along its order, as probabilities."""
    return [1 / (1 + math.exp(-score)) for score in _ranking(pointwise(), QUERY, TEXTS).scores]


LONG = [f"passage {'word ' * length}" for length in (3, 9, 1, 7, 2, 8, 5, 6, 4)]
"""Passages whose listwise order is another one than their pointwise order, and takes several windows."""


def right_list():
    """What the library's listwise reranker makes of them."""
    return list(_ranking(listwise(), QUERY, LONG).order)


BEST = right_order()
SCORES = right_scores()


def tagged(number):
    """A request that is like no other, and the only right order of its passages."""
    places = [(number * 7 + 3 * i) % 5 for i in range(5)]
    texts = [" ".join([f"tag{number}", *(f"w{j}" for j in range(place))]) for place in places]
    query = f"tag{number} w0 w1 w2 w3"
    return query, texts, sorted(range(5), key=lambda i: -places[i])
