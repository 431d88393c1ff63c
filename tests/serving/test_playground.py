"""The playground in a real browser, against a live server of scripted models."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import struct
import zlib
from pathlib import Path

import pytest
from serving_doubles import broken, listwise, pointwise
from starlette.testclient import TestClient

from shortlist.errors import InvalidInput
from shortlist.retrieval.bm25 import BM25
from shortlist.serving.app import create_app
from shortlist.serving.config import ServerConfig
from shortlist.serving.page import FILES
from shortlist.serving.security import Keys
from shortlist.serving.served import SearchIndex
from shortlist.types import Document

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("playground_pictures", ROOT / "scripts" / "playground_pictures.py")
pictures = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(pictures)

NO_BROWSER = "needs Chromium: none at /usr/bin/chromium, and CHROMIUM names none"
HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script> river in Peru",
    "the capital of France is Paris </li></ol><h1>injected</h1>",
    "javascript:alert(1) \u202e reversed \u0000 nul 𝔘nicode 🗼 capital",
]


@pytest.fixture(scope="module")
def chromium():
    pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if pictures.chromium_path() is None:
        pytest.skip(NO_BROWSER)
    with pictures.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def fast():
    with pictures.live(pictures.scripted_app()) as address:
        yield address


@pytest.fixture
def page(chromium, fast):
    opened = watched(chromium, fast)
    yield opened
    opened.close()
    assert opened.problems == []


def watched(chromium, address, **more):
    """A page that remembers what its console complained of, and every address that it asked."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900}, **more)
    page.problems, page.asked = [], []
    page.on("console", lambda said: page.problems.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda problem: page.problems.append(str(problem)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("html[data-ready=yes]")
    return page


def order(page, model):
    return [int(item.get_attribute("data-place")) for item in page.query_selector_all(f"[data-model={model}] .item")]


def ranked(page, models, query=pictures.QUERY, passages=tuple(pictures.GRADES)):
    pictures.fill(page, query, list(passages), models)
    page.click("#go")
    pictures.finished(page)


# ------------------------------------------------------------------------------------------------ without a browser


def test_the_page_may_load_nothing_from_elsewhere():
    with TestClient(create_app([pointwise()], playground=True)) as client:
        reply = client.get("/")
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert client.get("/report").status_code == 404
        assert client.get("/playground/about.json").json()["report"] is False
        for file in FILES.iterdir():
            assert client.get(f"/playground/{file.name}").status_code == 200
    assert "<script>" not in reply.text
    assert "style=" not in reply.text


@pytest.mark.parametrize("file", sorted(FILES.glob("*.*")), ids=lambda file: file.name)
def test_no_file_of_it_reads_text_as_markup_or_names_another_host(file):
    text = file.read_text(encoding="utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert word not in text
    hosts = {part.split("/")[0].split("'")[0] for part in text.replace("http://", "https://").split("https://")[1:]}
    assert hosts <= {"www.w3.org"}  # the namespace of SVG


def test_without_the_flag_there_is_no_page():
    with TestClient(create_app([pointwise()])) as client:
        assert client.get("/").status_code == 404


def test_a_report_is_behind_the_key(tmp_path):
    (tmp_path / "report.html").write_text("<!doctype html><style>b{color:red}</style><b>secret</b>")
    config = ServerConfig(keys=Keys.of(["sesame"]))
    with TestClient(create_app([pointwise()], playground=True, report=tmp_path, config=config)) as client:
        assert client.get("/").status_code == 200
        assert client.get("/report").status_code == 401
        told = client.get("/report", headers={"authorization": "Bearer sesame"})
    assert "secret" in told.text
    assert "sandbox" in told.headers["content-security-policy"]
    with pytest.raises(InvalidInput, match="report"):
        create_app([pointwise()], playground=True, report=tmp_path / "nowhere")


def test_the_wheel_has_its_files(tmp_path):
    pytest.importorskip("hatchling", reason="needs hatchling")
    import tomllib

    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    from hatchling.builders.wheel import WheelBuilder

    included = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert build["packages"] == ["src/shortlist"]
    for file in FILES.iterdir():
        assert f"shortlist/serving/playground/{file.name}" in included


# ------------------------------------------------------------------------------------------------ comparing


def test_passages_go_from_the_first_stages_order_to_the_new_one(page):
    ranked(page, ["first-stage", "cross-encoder", "reasoning-windows"])
    grades = list(pictures.GRADES.values())
    best = sorted(range(len(grades)), key=lambda i: -grades[i])
    assert order(page, "first-stage") == list(range(12))
    assert order(page, "cross-encoder")[:7] == best[:7]
    assert order(page, "reasoning-windows")[:2] == best[:2]  # as many as windows of four, moved by two, carry up
    first = page.locator("[data-model=cross-encoder] .item").first
    assert first.locator(".moved").inner_text() == "▲ 6"
    assert first.locator(".raw").inner_text().startswith("logit ")
    assert 0.9 < float(first.locator(".value").inner_text()) <= 1
    assert page.locator("[data-model=cross-encoder] .status").inner_text() == "Complete"
    costs = page.locator("[data-model=cross-encoder] .costs").inner_text()
    assert "Calls" in costs
    assert "ms" in costs
    assert page.locator("#board .lines path").count() == 24
    assert "Paris" not in page.locator(".results").inner_text()


def test_the_cutoff_stands_after_the_last_passage_kept(page):
    ranked(page, ["first-stage", "cross-encoder"])
    kept = page.locator("[data-model=cross-encoder] .item:not(.beyond)").count()
    assert 0 < kept < 12
    told = page.locator("[data-model=cross-encoder] .cutoff").inner_text()
    assert told == f"cutoff · {kept} passage{'s' if kept > 1 else ''} kept"
    item = page.locator("[data-model=cross-encoder] .item").nth(kept - 1)
    assert item.locator(".cutoff").count() == 1


def test_answers_before_and_after_with_what_they_cite(page):
    ranked(page, ["first-stage", "cross-encoder"])
    before = page.locator("[data-model=first-stage] .answer")
    after = page.locator("[data-model=cross-encoder] .answer")
    assert "Before" in before.inner_text()
    assert "one day" not in before.inner_text()
    assert after.locator(".answer-text").inner_text() == "one day"
    after.locator(".cite").first.click()
    assert page.locator("[data-model=cross-encoder] mark.cited").first.inner_text() == "one day"
    focused = page.evaluate("document.activeElement.closest('.item').dataset.place")
    assert focused == "6"


def test_an_answer_that_quotes_nothing_whole_is_cited_in_part(page):
    told = page.evaluate(
        "async () => { const { quoted } = await import('/playground/quoted.js');"
        "return [quoted('Kept for one day, at most!', '🗼 It is kept FOR one-day only.'), quoted('no such', 'no such words')] }"
    )
    assert told == [{"start": 8, "end": 24}, None]


def test_sentences_that_carry_the_match_are_marked(page):
    page.click("details.more summary")
    page.check("#spans")
    texts = [
        "Nothing here. the capital of France is Paris.",
        "🗼 Old. Rice is the staple food of more than half of us.",
    ]
    ranked(page, ["first-stage", "cross-encoder"], passages=texts)
    marks = page.locator("[data-model=cross-encoder] mark.span").all_inner_texts()
    assert all(mark in " ".join(texts) for mark in marks)


def test_hostile_passages_are_text(page):
    ranked(page, ["first-stage", "cross-encoder"], passages=HOSTILE)
    assert page.title() == "Playground · Shortlist"
    assert page.locator("#board img, #board script, #board h1").count() == 0
    assert "<script>document.title='owned'</script>" in page.locator("[data-model=first-stage]").inner_text()
    assert all(url.startswith((page.url.split("#")[0], "blob:")) for url in page.asked)


def test_json_passages_with_titles_and_what_is_wrong_with_them(page):
    page.fill("#passages", '[{"title": "Rice", "text": "is a grass"}, "wheat too"]')
    assert page.inner_text("#passage-count") == "2 passages"
    page.fill("#query", "grass")
    page.click("#go")
    pictures.finished(page)
    assert page.locator("[data-model=first-stage] b.title").inner_text() == "Rice"
    page.fill("#passages", '[{"title": "Rice"}]')
    page.click("#go")
    assert "Item 1" in page.inner_text("#form-problem")


def test_what_is_missing_is_asked_for(page):
    page.click("#go")
    assert page.inner_text("#form-problem") == "Write a query first."
    assert page.evaluate("document.activeElement.id") == "query"
    page.fill("#query", "rice")
    page.click("#go")
    assert page.inner_text("#form-problem") == "Paste some passages first."


# ------------------------------------------------------------------------------------------------ as it happens


def test_windows_show_while_they_are_judged(chromium):
    with pictures.live(pictures.scripted_app(0.4)) as address:
        page = watched(chromium, address)
        pictures.fill(page, pictures.QUERY, list(pictures.GRADES), ["first-stage", "reasoning-windows"])
        page.click("#go")
        page.wait_for_selector("[data-model=reasoning-windows] .step")
        column = page.locator("[data-model=reasoning-windows]")
        assert " of 12" in column.locator(".status").inner_text()
        assert column.locator(".current").count() == 4
        assert column.locator(".unjudged").count() > 0
        assert "speaks of what is asked" in column.locator("blockquote").first.inner_text()
        pictures.finished(page)
        assert column.locator(".step").count() == 5
        assert column.locator(".current, .unjudged").count() == 0
        page.close()
    assert page.problems == []


def test_stopping_keeps_the_best_so_far(chromium):
    with pictures.live(pictures.scripted_app(0.5)) as address:
        page = watched(chromium, address)
        pictures.fill(page, pictures.QUERY, list(pictures.GRADES), ["first-stage", "reasoning-windows"])
        page.click("#go")
        page.wait_for_selector("[data-model=reasoning-windows] .step")
        page.click("#stop")
        page.wait_for_selector("body:not(.busy)")
        assert page.inner_text("[data-model=reasoning-windows] .status") == "Stopped"
        page.close()


def test_passages_travel_unless_motion_is_not_wanted(chromium, fast):
    for motion, travels in (("no-preference", True), ("reduce", False)):
        page = watched(chromium, fast, reduced_motion=motion)
        page.evaluate(
            "() => { const usual = Element.prototype.animate; window.travelled = 0;"
            "Element.prototype.animate = function (...a) { window.travelled++; return usual.apply(this, a); } }"
        )
        ranked(page, ["first-stage", "cross-encoder"])
        assert (page.evaluate("window.travelled") > 0) == travels
        page.close()


# ------------------------------------------------------------------------------------------------ what goes wrong


def test_failures_and_deadlines_are_seen(chromium):
    slow = listwise(name="slow", seconds=0.3, size=2, stride=1)
    with pictures.live(create_app([broken(), slow], playground=True)) as address:
        page = watched(chromium, address)
        page.click("details.more summary")
        page.fill("#deadline", "700")
        ranked(page, ["first-stage", "broken", "slow"])
        assert page.inner_text("[data-model=broken] .status") == "Failed"
        assert "on fire" in page.inner_text("[data-model=broken] .column-problems")
        assert page.inner_text("[data-model=slow] .status") == "Partial"
        assert "deadline passed" in page.inner_text("[data-model=slow] .column-problems")
        assert "not judged" in page.inner_text("[data-model=slow] .items")
        page.close()


def test_a_refused_request_says_why(chromium):
    config = ServerConfig(max_documents=2)
    with pictures.live(create_app([pointwise()], playground=True, config=config)) as address:
        page = watched(chromium, address)
        ranked(page, ["first-stage", "fast"])
        assert "this server takes 2" in page.inner_text("[data-model=fast] .problem")
        page.close()


def test_a_server_that_is_gone(chromium):
    with pictures.live(create_app([pointwise()], playground=True)) as address:
        page = watched(chromium, address)
        pictures.fill(page, "q", ["a", "b"], ["first-stage", "fast"])
    page.click("#go")
    pictures.finished(page)
    assert "cannot be reached" in page.inner_text("[data-model=fast] .problem")
    page.close()


def test_the_key_is_asked_for_and_kept_nowhere(chromium):
    config = ServerConfig(keys=Keys.of(["sesame"]))
    with pictures.live(create_app([pointwise()], playground=True, config=config)) as address:
        page = watched(chromium, address)
        assert "asks for an API key" in page.inner_text("#notices")
        page.click("#notices button")
        page.fill("#key", "sesame")
        page.keyboard.press("Enter")
        page.wait_for_selector("#models input")
        ranked(page, ["first-stage", "fast"])
        assert page.inner_text("[data-model=fast] .status") == "Complete"
        kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
        assert "sesame" not in kept
        assert "sesame" not in page.content()
        page.reload()
        page.wait_for_selector("#notices button")
        page.close()


# ------------------------------------------------------------------------------------------ links, files, corpora, reports


def test_a_link_brings_everything_back(page, chromium, fast):
    pictures.fill(page, "wie lange hält Reis? 🍚", ["eins", "zwei"], ["first-stage", "group-grades"])
    page.select_option("#keep", "5")
    page.click("#share")
    page.wait_for_url(re.compile("#s="))
    other = watched(chromium, fast + "/" + page.evaluate("location.hash"))
    assert other.input_value("#query") == "wie lange hält Reis? 🍚"
    assert other.input_value("#passages") == "eins\n\nzwei"
    assert other.eval_on_selector_all("#models input:checked", "boxes => boxes.map(b => b.value)") == [
        "group-grades",
        "first-stage",
    ]
    assert other.input_value("#keep") == "5"
    other.close()


@pytest.mark.parametrize("fragment", ["#s=AAAA", "#s=!!", "#s=eyJ9"])
def test_a_broken_link_is_told(chromium, fast, fragment):
    page = watched(chromium, f"{fast}/{fragment}")
    page.wait_for_selector("#notices .problem")
    assert "link cannot be read" in page.inner_text("#notices")
    page.close()


def test_export_holds_what_was_shown(page, tmp_path):
    ranked(page, ["first-stage", "cross-encoder"])
    with page.expect_download() as told:
        page.click("#export")
    told.value.save_as(tmp_path / "made.json")
    made = json.loads((tmp_path / "made.json").read_text())
    assert made["asked"]["query"] == pictures.QUERY
    assert made["runs"][0]["order"] == order(page, "cross-encoder")
    assert made["runs"][0]["reply"]["meta"]["rerank"]["status"] == "ok"
    assert made["runs"][0]["answer"]["text"] == "one day"


def test_a_corpus_is_searched(chromium):
    corpus = {str(i): Document(id=str(i), text=text, title=f"t{i}") for i, text in enumerate(pictures.GRADES)}
    index = SearchIndex(name="rice", retriever=BM25.build(corpus.values()), corpus=corpus)
    with pictures.live(pictures.scripted_app(corpora=[index])) as address:
        page = watched(chromium, address)
        assert page.is_visible("#corpus")
        page.fill("#query", "cooked rice risk")
        page.fill("#depth", "5")
        page.keyboard.press("Control+Enter")
        pictures.finished(page)
        assert page.locator("[data-model=first-stage] .item").count() == 5
        assert page.locator("[data-model=first-stage] .raw").first.inner_text().startswith("score ")
        page.fill("#query", "zzzz")
        page.click("#go")
        pictures.finished(page)
        assert "found no passage" in page.inner_text("#notices")
        page.close()
    assert page.problems == []


def test_a_training_runs_report(chromium, tmp_path):
    text = "<!doctype html><title>r</title><style>b{color:rgb(1,2,3)}</style><b>went up</b><script>parent.x=1</script>"
    (tmp_path / "report.html").write_text(text)
    with pictures.live(create_app([pointwise()], playground=True, report=tmp_path)) as address:
        page = watched(chromium, address)
        page.click("[data-view=report]")
        frame = page.frame_locator("#report-frame").locator("b")
        assert frame.inner_text() == "went up"
        assert frame.evaluate("b => getComputedStyle(b).color") == "rgb(1, 2, 3)"
        assert page.evaluate("window.x") is None
        page.close()


# ------------------------------------------------------------------------------------------------ keys, eyes, ears


def test_it_can_be_walked_with_keys(page):
    ranked(page, ["first-stage", "cross-encoder"])
    page.locator("[data-model=first-stage] .card").first.focus()
    place = "document.activeElement.closest('.item').dataset.place + document.activeElement.closest('.column').dataset.model"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(place) == "1first-stage"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(place) == "1cross-encoder"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.items')") is None
    assert page.inner_text("#announce") == "Done."


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing(chromium, fast, theme, width):
    axe = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
    if not axe.is_file():
        pytest.skip("needs axe-core: name its axe.min.js with AXE_CORE")
    page = watched(chromium, fast, bypass_csp=True)
    page.set_viewport_size({"width": width, "height": 900})
    page.select_option("#theme", theme)
    page.evaluate(axe.read_text(encoding="utf-8"))
    for _ in range(2):
        found = page.evaluate("axe.run(document)")["violations"]
        assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found] == []
        ranked(page, ["first-stage", "cross-encoder", "reasoning-windows"])
    page.close()


@pytest.mark.parametrize("width", [1024, 1440])
def test_no_column_lies_over_the_next(page, width):
    """A column whose facts take more room than it has: they wrap, the column stays as wide as it is."""
    page.set_viewport_size({"width": width, "height": 900})
    ranked(page, ["first-stage", "cross-encoder", "reasoning-windows"])
    page.evaluate("""() => document.querySelectorAll('.costs').forEach(costs => {
        for (let i = 0; i < 6; i++) costs.append(costs.firstElementChild.cloneNode(true)) })""")
    told = page.evaluate("""() => [...document.querySelectorAll('.column')].map(column => [
        column.getBoundingClientRect().right,
        Math.max(...[...column.children].map(child => child.getBoundingClientRect().right))])""")
    assert len(told) == 3
    assert all(widest <= right + 1 for right, widest in told)


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_nothing_sticks_out_at_any_width(chromium, fast, width):
    page = watched(chromium, fast)
    page.set_viewport_size({"width": width, "height": 900})
    ranked(page, ["first-stage", "cross-encoder"])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


# ------------------------------------------------------------------------------------------------ pictures, and the real thing


def size_and_colours(path):
    """Width, height, and how many different bytes a PNG's pixels have."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    pixels, place = b"", 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        if data[place + 4 : place + 8] == b"IDAT":
            pixels += data[place + 8 : place + 8 + length]
        place += 12 + length
    return width, height, len(set(zlib.decompress(pixels)))


def test_the_pictures_can_be_taken_again(chromium, tmp_path):
    names = {"playground-stream.png", "playground-compare.png", "playground-cutoff.png"}
    taken = _in_a_thread(lambda: pictures.take_all(tmp_path, seconds=0.3))
    assert {path.name for path in taken} == names
    for path in [*taken, *(ROOT / "docs" / "images" / name for name in names)]:
        width, height, colours = size_and_colours(path)
        assert (width, height) == (1440, 900)
        assert colours > 100
        assert path.stat().st_size > 30_000


def _in_a_thread(work):
    """Playwright runs once a thread; the module's browser has this one."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@pytest.mark.models
def test_the_demos_corpus_with_a_real_model(chromium, model_minilm, tmp_path):
    from shortlist.data.demo import build_demo
    from shortlist.serving.served import Served

    build_demo(tmp_path / "collection")
    from shortlist.data import open_collection

    corpus = open_collection(tmp_path / "collection").corpus
    index = SearchIndex(name="demo", retriever=BM25.build(corpus.values()), corpus=corpus)
    served = Served.open("minilm=cross-encoder:minilm-l12?keep=gap:3")
    with pictures.live(create_app([served], corpora=[index], playground=True)) as address:
        page = watched(chromium, address)
        page.fill("#query", pictures.DEMO_QUERY)
        page.fill("#depth", "10")
        page.click("#go")
        pictures.finished(page)
        assert page.inner_text("[data-model=minilm] .status") == "Complete"
        found = order(page, "minilm")
        assert sorted(found) == list(range(10))
        assert found != list(range(10))
        values = [float(text) for text in page.locator("[data-model=minilm] .value").all_inner_texts()]
        assert values == sorted(values, reverse=True)
        assert page.locator("[data-model=minilm] .cutoff").count() == 1
        page.close()
    assert page.problems == []
