"""The report is valid, whole in itself, safe from what passages say, and the same each time."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_systems import QRELS, REQUESTS, Finder, Scripted, broken, perfect, request, to_front

from shortlist.drawing.markup import VOID, escaped, tag
from shortlist.drawing.scales import Scale, cost_scale, short, ticks
from shortlist.evaluation import Experiment, evaluate
from shortlist.evaluation.report import render_report, write_report
from shortlist.types import Candidate, Document, Query, Ranking, RerankRequest

HOSTILE = '</style></title><script>alert("1")</script><img src=x onerror=alert(2)> & \x00\udc80 http://evil.example/'


class Checker(HTMLParser):
    """Follows the tree; every element must be closed where it was opened."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text, self.ids, self.links = [], [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value[1:] for name, value in attrs if name == "href"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def checked(html):
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


def hostile_request():
    documents = [Document(id=f"{HOSTILE}{i}", text="gold" if i else HOSTILE, title=HOSTILE) for i in range(3)]
    return RerankRequest(Query(text=HOSTILE, id=HOSTILE, answers=(HOSTILE,)), tuple(map(Candidate, documents)))


def experiment():
    blind = Scripted(lambda one: to_front(one, cutoff=len(one) // 3), f"blind {HOSTILE}")
    requests = [*REQUESTS, hostile_request()]
    qrels = QRELS | {HOSTILE: {f"{HOSTILE}1": 1}}
    about = {"collection": HOSTILE}
    rankers = [perfect(), blind, broken()]
    return evaluate(rankers, requests, qrels, ["nDCG@10", "RR"], reader=Finder(), read_at=(1, 3, "auto"), about=about)


@pytest.fixture(scope="module")
def result():
    return experiment()


@pytest.fixture(scope="module")
def html(result):
    return render_report(result)


def test_is_valid_and_has_all_sections(html):
    page = checked(html)
    assert html.startswith("<!doctype html>")
    assert page.links == page.ids
    assert page.ids == ["results", "cost", "queries", "kept", "format", "reader", "examples", "manifest"]


def test_is_whole_in_itself(html):
    page = checked(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [
        (name, value)
        for name, value in page.attributes
        if name == "src" or ("://" in (value or "") and name in {"href", "style"})
    ]
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_text_cannot_become_markup(html):
    page = checked(html)
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert html.count("</style>") == html.count("</title>") - html.count("<title>") + 1 == 1
    assert "\x00" not in html
    html.encode()  # no lone surrogates
    assert any('<script>alert("1")</script>' in text for text in page.text)  # it is shown as what it is


def test_is_accessible(html):
    page = checked(html)
    charts = re.findall(r"<svg[^>]*>", html)
    assert len(charts) > 8
    assert all('role="img"' in chart and "aria-label=" in chart for chart in charts)
    assert ("lang", "en") in page.attributes
    assert html.count("<svg") == html.count("<desc>")


def test_is_the_same_each_time(result, html, tmp_path):
    assert render_report(result) == html
    result.write(tmp_path / "e.json")
    assert render_report(Experiment.read(tmp_path / "e.json")) == html


def test_tells_the_numbers(html):
    assert "1.0000" in html
    assert "keeps 1" in html
    assert "first-stage" in html


def test_works_without_a_reader_and_without_rankers(tmp_path):
    write_report(evaluate([perfect()], REQUESTS, QRELS, ["RR"]), tmp_path / "a.html", title="A < B")
    text = (tmp_path / "a.html").read_text()
    assert "reader" not in checked(text).ids
    assert "<title>A &lt; B</title>" in text
    assert "No system does better" in render_report(evaluate([], REQUESTS, QRELS, ["RR"]))


def test_a_reader_alone_makes_a_report():
    page = checked(render_report(evaluate([perfect()], REQUESTS, reader=Finder(), measures=(), read_at=(2,))))
    assert "reader" in page.ids


def test_works_where_nothing_is_judged():
    """Questions with answers need no judgements; a measure of rankings then has no value, and no chart."""
    found = evaluate([perfect()], REQUESTS, {}, ["nDCG@10"], reader=Finder(), read_at=(1,))
    assert "F1@1" in " ".join(checked(render_report(found)).text)


def test_many_queries_do_not_make_a_large_file():
    requests = [request(f"q{i}", {i % 4}) for i in range(3_000)]
    qrels = {f"q{i}": {f"d{i % 4}": 1} for i in range(3_000)}
    text = render_report(evaluate([perfect()], requests, qrels, ["RR"]), ())
    assert len(text) < 150_000
    flip = Scripted(lambda one: Ranking.of(one, reversed(range(len(one)))), "flip")
    page = render_report(evaluate([flip], requests, qrels, ["RR"]))
    assert "13 queries" in page  # neighbours are drawn together
    assert len(page) < 250_000


@given(st.text())
def test_escaping_is_total(text):
    page = checked(str(tag("p", text, title=text)))
    assert page.tags == ["p"]
    assert not set("<>\"'") & set(re.sub(r"&[#\w]+;", "", escaped(text)))


def test_tags():
    assert tag("td", "a<b", None, class_="x", colspan=2, id=None) == '<td class="x" colspan="2">a&lt;b</td>'
    assert tag("br") == "<br>"
    assert tag("rect", x=1) == '<rect x="1"/>'
    assert tag("p", [tag("b", "1"), 2, ("<",)]) == "<p><b>1</b>2&lt;</p>"


def test_scales():
    assert [Scale(0, 10, 0, 100)(v) for v in (0, 5, 10)] == [0, 50, 100]
    bent = cost_scale([0, 1, 1000], 0, 100)
    assert bent(0) == 0
    assert bent(1) > 10
    assert bent.ticks[0] == 0
    assert cost_scale([0, 1, 2], 0, 100).log is None
    assert ticks(0.2, 0.9) == [0.2, 0.4, 0.6, 0.8]
    assert [short(v) for v in (0, 0.25, 12, 1234, 12_345, 2_500_000, 0.00002)] == [
        "0", "0.25", "12", "1234", "12.3k", "2.5M", "2.0e-05",
    ]  # fmt: skip


@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e6))
def test_ticks_lie_inside(low, width):
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 12
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in found)
