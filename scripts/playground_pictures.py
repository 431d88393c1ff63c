"""Take the playground's pictures in headless Chromium, as docs/images/playground-*.png.

python scripts/playground_pictures.py [--demo demo-out] [--output docs/images]

With ``--demo``, the folder that `make demo` filled, the comparison and the cutoff are of its corpus, the real minilm and
the real reader; without it, and for the stream always, scripted models stand in, with delays, so that there is something
to see. Needs playwright (no browser of its own: the system's Chromium is taken, or the one that CHROMIUM names).
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn

from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer
from shortlist.reading.readers import LLMReader
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.compose import Keep
from shortlist.rerankers.cutoffs import LargestGap
from shortlist.rerankers.policies import PairPolicy, TextPolicy
from shortlist.rerankers.strategies import Groups, Pointwise, SlidingWindow
from shortlist.serving.app import create_app
from shortlist.serving.served import SearchIndex, Served
from shortlist.text.groupwise import GroupScores
from shortlist.text.listwise import ListwiseReasoning

QUERY = "How long can cooked rice be kept, and why is it a risk?"
GRADES = {
    "Rice is the staple food of more than half of the world's people; how it is cooked differs from place to place.": 1,
    "How to keep rice from sticking: rinse it until the water is clear, then let it stand for ten minutes.": 0,
    "Dry rice kept cool in a closed jar stays good for years. Brown rice, whose bran holds oil, turns rancid sooner.": 3,
    "A rice cooker's warming plate holds the pot at about 65 °C, which is too hot for most bacteria to grow.": 5,
    "Spores of Bacillus cereus survive boiling. In rice left warm they germinate and make a toxin that heat does not "
    "destroy.": 9,
    "Long-grain rice has more amylose than short-grain rice, so its grains stay apart.": 0,
    "Cooked rice should be cooled within an hour and kept in a fridge, where it is safe for one day; reheat it once.": 10,
    "Travel insurance rarely covers the cost of food poisoning, however long you were in bed.": 1,
    "The risk of any bet can be stated as the chance of a loss times its size.": 0,
    "Leftovers in general are best eaten within two days. Label the box with the date.": 6,
    "Fried rice is best made from rice that was cooked the day before, as dry grains brown better.": 4,
    "Food poisoning from rice shows within one to five hours, as vomiting, and is mostly over in a day.": 7,
}
"""Passages in a first stage's order, and what the scripted models think of them, from 0 to 10."""
ANSWERS = (("kept in a fridge", "one day"), ("within two days", "two days"), ("for years", "years"))
DEMO_QUERY = "When does Python leave out assert statements?"


def grade(passage: str) -> float:
    """What the scripted models think of a passage."""
    return next((value for text, value in GRADES.items() if passage.strip().startswith(text[:40])), 0.0)


def shown_in(ask: Any) -> list[tuple[int, str]]:
    """The numbered passages of a prompt."""
    found = re.findall(r"^\[(\d+)\] (.*)$", ask.messages[-1].content, re.MULTILINE)
    return [(int(number), passage) for number, passage in found]


def _think(ask: Any) -> str:
    order = sorted(shown_in(ask), key=lambda one: -grade(one[1]))
    best, worst = order[0], order[-1]
    said = (
        f"[{best[0]}] speaks of what is asked: “{_short(best[1])}”. "
        f"[{worst[0]}] shares words with the query and nothing else, so it goes last."
    )
    return f"<think>{said}</think><answer>{' > '.join(f'[{i}]' for i, _ in order)}</answer>"


def _grade_all(ask: Any) -> str:
    grades = ", ".join(f'"[{i}]": {grade(passage):.0f}' for i, passage in shown_in(ask))
    return f"{{{grades}}}"


def _short(text: str) -> str:
    return " ".join(text.split()[:9]) + " …"


def _read(ask: Any) -> str:
    passages = " ".join(passage for _, passage in shown_in(ask))
    return next((answer for sign, answer in ANSWERS if sign in passages), "no answer")


def cross_encoder(name: str = "cross-encoder", seconds: float = 0.0) -> Reranker[Any]:
    """A scripted pointwise reranker."""

    def score(pair: Any) -> float:
        time.sleep(seconds)
        return (grade(pair.passage) - 5.0) * 1.1 - len(pair.passage) / 1000

    return Reranker(policy=PairPolicy(scorer=ScriptedPairScorer(score)), strategy=Pointwise(), name=name)


def windows(
    name: str = "reasoning-windows", seconds: float = 0.0, latency: Callable[[Any], float] | None = None
) -> Reranker[Any]:
    """A scripted listwise reranker that reasons."""
    completer = ScriptedCompleter(_think, latency=latency or (lambda _: seconds))
    policy = TextPolicy(prompt=ListwiseReasoning(), completer=completer)
    return Reranker(policy=policy, strategy=SlidingWindow(size=4, stride=2), name=name)


def groups(name: str = "group-grades", seconds: float = 0.0) -> Reranker[Any]:
    """A scripted groupwise reranker, a group at a time."""
    completer = ScriptedCompleter(_grade_all, latency=lambda _: seconds, concurrency=1)
    return Reranker(policy=TextPolicy(prompt=GroupScores(), completer=completer), strategy=Groups(size=4), name=name)


def holding(seconds: float, calls: int, released: threading.Event) -> Callable[[Any], float]:
    """A latency: ``seconds`` for the first ``calls``; those after them wait until ``released`` (a minute at most)."""
    made = itertools.count()

    def latency(_: Any) -> float:
        if next(made) >= calls:
            released.wait(60)
        return seconds

    return latency


def scripted_app(seconds: float = 0.0, latency: Callable[[Any], float] | None = None, **more: Any) -> Any:
    """An app of scripted models, each call of which takes ``seconds``; ``latency`` is that of the windows."""
    rankers = [
        Served(name="cross-encoder", ranker=Keep(cross_encoder(), LargestGap())),
        windows(seconds=seconds, latency=latency),
        groups(seconds=1.6 * seconds),
    ]
    reader = LLMReader(completer=ScriptedCompleter(_read))
    return create_app(rankers, reader=reader, reader_name="scripted-reader", playground=True, **more)


def demo_app(demo: Path) -> Any:
    """An app of the demo's corpus, the real minilm, twice, and the real reader."""
    from shortlist.api import open_reader

    specs = ("minilm-l12=cross-encoder:minilm-l12", "minilm-l12-gap=cross-encoder:minilm-l12?keep=gap:3")
    index = SearchIndex.open(demo / "index", str(demo / "collection"), kind="bm25")
    index = replace(index, name="Python's documentation")
    reader = open_reader("smollm2-135m?passage_tokens=96&max_tokens=16")
    rankers = [Served.open(spec) for spec in specs]
    return create_app(rankers, reader=reader, reader_name="smollm2-135m", corpora=[index], playground=True)


# ------------------------------------------------------------------------------------------------ server and browser


@contextmanager
def live(app: Any) -> Iterator[str]:
    """The app behind a port of this machine; gives its address."""
    config = uvicorn.Config(
        app, port=0, log_config=None, log_level="critical", access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        if time.monotonic() > until or not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.02)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def chromium_path() -> str | None:
    """The browser: CHROMIUM, or the system's."""
    names = [os.environ.get("CHROMIUM", ""), "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
    return next((found for name in names if name and (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    path = chromium_path()
    if path is None:
        raise RuntimeError("no Chromium was found; name one with CHROMIUM")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, headless=True, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


def open_page(chromium: Any, address: str, **more: Any) -> Any:
    """The playground, loaded."""
    page = chromium.new_page(**{"viewport": {"width": 1440, "height": 900}, **more})
    page.goto(address)
    page.wait_for_selector("html[data-ready=yes]")
    return page


def fill(page: Any, query: str, passages: list[str], models: list[str]) -> None:
    """Type a query and passages, and choose rerankers."""
    page.fill("#query", query)
    page.fill("#passages", "\n\n".join(passages))
    choose(page, models)


def choose(page: Any, models: list[str]) -> None:
    """Check these models and no others."""
    for box in page.query_selector_all("#models input"):
        box.set_checked(box.get_attribute("value") in models)


def finished(page: Any, *, seconds: float = 60) -> None:
    """Wait until everything is ranked and read, and every passage has arrived."""
    page.wait_for_selector("body:not(.busy)", timeout=seconds * 1000)
    page.wait_for_timeout(900)


# ------------------------------------------------------------------------------------------------ pictures


def take_all(output: Path, demo: Path | None = None, seconds: float = 1.2) -> list[Path]:
    """All the pictures, into a folder."""
    output.mkdir(parents=True, exist_ok=True)
    taken: list[Path] = []

    def shoot(page: Any, name: str, **more: Any) -> None:
        taken.append(output / f"playground-{name}.png")
        page.screenshot(path=taken[-1], **more)

    with browser() as chromium:
        released = threading.Event()  # the run stands still at its fifth window until its picture is taken
        with live(scripted_app(seconds, holding(seconds, 4, released))) as address:
            try:
                _stream(chromium, address, shoot)
            finally:
                released.set()
        with live(scripted_app() if demo is None else demo_app(demo)) as address:
            (_scripted if demo is None else _of_demo)(chromium, address, shoot)
    return taken


def _stream(chromium: Any, address: str, shoot: Any) -> None:
    page = open_page(chromium, address)
    fill(page, QUERY, list(GRADES), ["first-stage", "reasoning-windows", "group-grades"])
    page.click("#go")
    page.wait_for_selector("[data-model=reasoning-windows] .step:nth-child(4)")
    page.wait_for_timeout(600)
    shoot(page, "stream")
    page.close()


def _scripted(chromium: Any, address: str, shoot: Any) -> None:
    page = open_page(chromium, address)
    fill(page, QUERY, list(GRADES), ["first-stage", "cross-encoder", "reasoning-windows"])
    _compare(page, shoot)
    page.close()


def _of_demo(chromium: Any, address: str, shoot: Any) -> None:
    page = open_page(chromium, address)
    page.fill("#query", DEMO_QUERY)
    page.fill("#depth", "12")
    choose(page, ["first-stage", "minilm-l12-gap"])
    _compare(page, shoot)
    page.close()


def _compare(page: Any, shoot: Any) -> None:
    page.click("#go")
    finished(page)
    shoot(page, "compare")
    page.select_option("#theme", "dark")
    page.evaluate("document.querySelector('.cutoff').scrollIntoView({block: 'center'})")
    page.wait_for_timeout(300)
    shoot(page, "cutoff")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, help="the folder that `make demo` filled")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    told = parser.parse_args()
    for picture in take_all(told.output, told.demo):
        print(picture)
