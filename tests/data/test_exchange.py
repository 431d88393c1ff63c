"""Our own JSON and the forms of other projects, there and back."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import (
    FORMATS,
    ranking_from_json,
    ranking_to_json,
    read_rankings,
    read_requests,
    request_from_json,
    request_to_json,
    rollout_to_json,
    write_jsonl,
    write_requests,
)
from shortlist.data.exchange import has_answer, to_record
from shortlist.data.files import json_line
from shortlist.errors import InvalidFile, InvalidInput, UnknownName
from shortlist.types import (
    Candidate,
    Choice,
    Document,
    Message,
    Query,
    Ranking,
    RerankRequest,
    Rollout,
    ScoredJudgement,
    Slate,
    Status,
    Turn,
    Usage,
)

words = st.text(st.characters(codec="utf-8"), max_size=12)
names = words.filter(bool)
values = st.dictionaries(words, st.integers() | words | st.lists(words, max_size=2), max_size=2)
floats = st.floats(allow_nan=False)
documents = st.builds(Document, id=names, text=words, title=words, metadata=values)
queries = st.builds(
    Query,
    id=names,
    text=words.filter(str.strip),
    answers=st.lists(words, max_size=2).map(tuple),
    instruction=words,
    metadata=values,
)


@st.composite
def request_values(draw, score=floats | st.none()):
    chosen = draw(st.lists(documents, max_size=5, unique_by=lambda document: document.id))
    return RerankRequest(draw(queries), tuple(Candidate(document, draw(score)) for document in chosen))


@st.composite
def ranking_values(draw):
    request = draw(request_values())
    n = len(request)
    return Ranking(
        request=request,
        order=tuple(draw(st.permutations(range(n)))),
        scores=draw(st.none() | st.lists(floats, min_size=n, max_size=n).map(tuple)),
        cutoff=draw(st.none() | st.integers(0, n)),
        status=draw(st.sampled_from(Status)),
        unjudged=tuple(draw(st.sets(st.integers(0, n - 1)))) if n else (),
        problems=tuple(draw(st.lists(words, max_size=2))),
        reasoning=tuple(draw(st.lists(words, max_size=2))),
        usage=Usage(1, 2, 3, 4, draw(st.floats(0, 1e6))),
        truncated=draw(st.integers(0, 5)),
    )


def through_json(value):
    return json.loads(json_line(value).encode())


@given(request_values())
def test_a_request_comes_back_whole(request):
    assert request_from_json(through_json(request_to_json(request))) == request


@given(ranking_values())
def test_a_ranking_comes_back_whole(ranking):
    assert ranking_from_json(through_json(ranking_to_json(ranking))) == ranking


def test_scores_that_json_has_no_number_for():
    request = RerankRequest.of("q", ["a", "b", "c"])
    ranking = Ranking.of(request, [0, 1, 2], scores=(math.inf, math.nan, -math.inf))
    told = through_json(ranking_to_json(ranking))
    assert told["ranking"]["scores"] == ["inf", None, "-inf"]
    scores = ranking_from_json(told).scores
    assert (scores[0], math.isnan(scores[1]), scores[2]) == (math.inf, True, -math.inf)


def test_a_ranking_without_texts_keeps_ids_and_order(tmp_path):
    request = RerankRequest.of("q", [Document(id="a", text="long"), Document(id="b", text="longer")])
    ranking = Ranking.of(request, [1, 0], cutoff=1)
    write_jsonl(tmp_path / "r.jsonl", [ranking_to_json(ranking, texts=False)])
    assert "long" not in (tmp_path / "r.jsonl").read_text()
    (back,) = read_rankings(tmp_path / "r.jsonl")
    assert (back.ids, back.cutoff) == (("b", "a"), 1)


@pytest.mark.parametrize(
    "spoil",
    [
        {"ranking": None},
        {"ranking": {}},
        {"ranking": {"order": [0, 0]}},
        {"ranking": {"order": [0, 1], "status": "great"}},
        {"ranking": {"order": [0, 1], "usage": {"cents": 1}}},
        {"ranking": {"order": [0, 1], "scores": ["high", 1]}},
        {"candidates": None},
        {"candidates": ["a", "b"]},
        {"query": "q"},
    ],
)
def test_what_is_no_ranking_is_refused_with_its_line(tmp_path, spoil):
    good = ranking_to_json(Ranking.of(RerankRequest.of("q", ["a", "b"]), [1, 0]))
    write_jsonl(tmp_path / "r.jsonl", [good, {**good, **spoil}])
    with pytest.raises(InvalidFile) as caught:
        list(read_rankings(tmp_path / "r.jsonl"))
    assert caught.value.line == 2


def test_a_rollout_holds_every_turn():
    request = RerankRequest.of("q", ["a", "b"])
    slate = Slate(request.query, request.candidates, truncated=(1,))
    asked = (Message("user", "which?"),)
    turns = (
        Turn(slate, Choice(best=1, shares=(0.25, 0.75)), asked, "B", Usage(1, 10, 1)),
        Turn(slate, ScoredJudgement.of([1.0, None]), error="timed out"),
    )
    told = through_json(rollout_to_json(Rollout(Ranking.of(request, [1, 0]), turns)))
    assert ranking_from_json(told).ids == ("1", "0")
    first, second = told["turns"]
    assert first["messages"] == [{"role": "user", "content": "which?"}]
    assert (first["slate"], first["truncated"], first["text"], first["usage"]["prompt_tokens"]) == (
        ["0", "1"],
        [1],
        "B",
        10,
    )
    assert first["verdict"]["kind"] == "Choice"
    assert first["verdict"]["shares"] == [0.25, 0.75]
    assert (second["error"], second["verdict"]["scores"], second["verdict"]["status"]) == (
        "timed out",
        [1.0, None],
        "partial",
    )


# ------------------------------------------------------------------------------------------------ other projects


def seen(request, *, whole_text=False):
    texts = [c.document.full_text if whole_text else (c.document.title, c.document.text) for c in request.candidates]
    return request.query.id, request.query.text, [c.id for c in request.candidates], texts


@pytest.mark.parametrize("name", FORMATS)
@given(listed=st.lists(request_values(st.floats(-1e6, 1e6)), min_size=1, max_size=3))
def test_requests_come_back_from_every_form_and_the_form_is_recognised(tmp_path_factory, name, listed):
    path = tmp_path_factory.mktemp("form") / "requests.jsonl"
    assert write_requests(path, listed, format=name) == len(listed)
    for back in (list(read_requests(path)), list(read_requests(path, format=name))):
        whole = name == "rankgpt"
        assert [seen(request, whole_text=whole) for request in back] == [seen(r, whole_text=whole) for r in listed]
        assert [[c.score for c in r.candidates] for r in back] == [[c.score for c in r.candidates] for r in listed]


@pytest.mark.parametrize("name", ["rank_llm", "rankgpt", "dpr", "flashrag"])
def test_a_ranking_is_written_in_its_order_with_its_scores_or_places(tmp_path, name):
    request = RerankRequest.of(Query(id="q", text="what"), [Candidate(Document(id=i, text=i), 5.0) for i in "abc"])
    by_place = Ranking.of(request, [2, 0, 1], cutoff=1)
    by_score = Ranking.of(request, [1, 2, 0], scores=(0.5, 0.25, 0.0))
    write_requests(tmp_path / "r.jsonl", [by_place, by_score], format=name)
    first, second = read_requests(tmp_path / "r.jsonl")
    assert [(c.id, c.score) for c in first.candidates] == [("c", 3.0), ("a", 2.0), ("b", 1.0)]
    assert [(c.id, c.score) for c in second.candidates] == [("b", 0.5), ("c", 0.25), ("a", 0.0)]
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [record.get("cutoff") for record in records] == [1, None]


def test_rankings_in_our_own_form_stay_rankings(tmp_path):
    ranking = Ranking.of(RerankRequest.of("q", ["a", "b"]), [1, 0], cutoff=1)
    write_requests(tmp_path / "r.jsonl", [ranking])
    assert list(read_rankings(tmp_path / "r.jsonl")) == [ranking]
    assert list(read_requests(tmp_path / "r.jsonl")) == [ranking.request]
    assert to_record(ranking, FORMATS["shortlist"])["ranking"]["order"] == [1, 0]


def read_one(tmp_path, record, *, array=False):
    path = tmp_path / "requests.json"
    path.write_text(json.dumps([record] if array else record))
    (request,) = read_requests(path)
    return request


@pytest.mark.parametrize("array", [False, True])
def test_rank_llm_as_others_write_it(tmp_path, array):
    doc = {"title": "Danube", "segment": "A river.", "docid": "msmarco_1", "url": "u"}
    candidates = [{"docid": "msmarco_1", "score": 12.5, "doc": doc}, {"docid": 7, "score": "3", "doc": "plain"}]
    request = read_one(tmp_path, {"query": {"text": "rivers", "qid": 264014}, "candidates": candidates}, array=array)
    assert request.query == Query(id="264014", text="rivers")
    first, second = request.candidates
    assert first == Candidate(Document(id="msmarco_1", text="A river.", title="Danube", metadata={"url": "u"}), 12.5)
    assert (second.id, second.document.text, second.score) == ("7", "plain", 3.0)


def test_rankgpt_as_others_write_it(tmp_path):
    hits = [{"content": "Title: A Content: b", "qid": 19335, "docid": "7", "rank": 1, "score": 15.7}, {"content": "c"}]
    request = read_one(tmp_path, {"query": "what", "hits": hits}, array=True)
    assert request.query == Query(id="19335", text="what")
    found = [(c.id, c.document.text, c.score) for c in request.candidates]
    assert found == [("7", "Title: A Content: b", 15.7), ("1", "c", None)]


def test_dpr_as_others_write_it(tmp_path):
    ctx = {"id": "wiki:1", "title": "T", "text": "The capital is Paris.", "score": "81.2", "has_answer": True}
    request = read_one(tmp_path, {"question": "capital?", "answers": ["Paris"], "ctxs": [ctx, {"text": "other"}]})
    assert request.query == Query(id="1", text="capital?", answers=("Paris",))
    assert [(c.id, c.score) for c in request.candidates] == [("wiki:1", 81.2), ("1", None)]
    written = FORMATS["dpr"].write(request)
    assert [ctx["has_answer"] for ctx in written["ctxs"]] == [True, False]


def test_has_answer_asks_for_whole_words_in_a_row():
    assert has_answer("He moved to NEW  York City.", ["new york"])
    assert has_answer("in Zu\u0308rich", ["Z\u00fcrich"])
    assert not has_answer("a newyorker", ["york"])
    assert not has_answer("anything", ["", " "])
    assert not has_answer("", ["a"])


def test_flashrag_questions_and_results(tmp_path):
    plain = read_one(tmp_path, {"id": "dev_0", "question": "who", "golden_answers": ["x", "y"], "metadata": {"hop": 2}})
    assert plain == RerankRequest(Query(id="dev_0", text="who", answers=("x", "y"), metadata={"hop": 2}), ())
    found = {"retrieval_result": [{"id": "1", "contents": '"T"\nbody'}]}
    full = read_one(tmp_path, {"id": "0", "question": "who", "golden_answers": [], "output": found})
    assert full.candidates[0].document == Document(id="1", text="body", title="T")


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"prompt": "x"}, "no known form; fields: prompt. Known: shortlist"),
        ({"query": {"id": "q", "text": " "}, "candidates": []}, "no text"),
        ({"query": {"id": "q", "text": "x"}, "candidates": [{"id": "a"}] * 2}, "more than once"),
        ({"query": {"qid": "q", "text": "x"}, "candidates": [3]}, "not a list of objects"),
        ({"query": {"qid": "q", "text": "x"}, "candidates": [{"docid": "d", "doc": 3}]}, "'text' is 3"),
        (
            {"query": {"qid": "q", "text": "x"}, "candidates": [{"docid": "d", "doc": "", "score": "x"}]},
            "'x' is not a number",
        ),
        ({"query": "", "hits": []}, "query"),
        ({"question": "", "ctxs": []}, "no text"),
        ({"question": "x", "answers": 3, "ctxs": []}, "'answers' is 3"),
    ],
)
def test_bad_records_are_named(tmp_path, record, says):
    write_jsonl(tmp_path / "r.jsonl", [record])
    with pytest.raises(InvalidFile, match=says) as caught:
        list(read_requests(tmp_path / "r.jsonl"))
    assert caught.value.line == 1


def test_unknown_forms_and_mixed_files(tmp_path):
    request = RerankRequest.of("q", ["a"])
    with pytest.raises(UnknownName, match="Did you mean 'rank_llm'"):
        write_requests(tmp_path / "x", [request], format="rankllm")
    write_jsonl(tmp_path / "r.jsonl", [request_to_json(request), {"question": "x", "ctxs": []}])
    with pytest.raises(InvalidFile, match=":2: not a request"):
        list(read_requests(tmp_path / "r.jsonl"))
    with pytest.raises(InvalidInput, match="not a request"):
        request_from_json({})
