"""Names of rerankers: kinds, options, chains, checkpoints."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))

from loopback import serve

from shortlist.backends import open as opening
from shortlist.backends.cache import Store
from shortlist.backends.scripted import ScriptedCompleter, ScriptedContinuer, ScriptedPairScorer
from shortlist.errors import InvalidFile, InvalidInput, UnknownName
from shortlist.rerankers import kinds, strategies
from shortlist.rerankers.catalog import open_reranker, save_checkpoint_config
from shortlist.rerankers.compose import Cascade, Keep
from shortlist.rerankers.configuration import CONFIG
from shortlist.rerankers.cutoffs import LargestGap, ModelSays, Threshold, TokenBudget, TopK
from shortlist.rerankers.designs import DESIGNS
from shortlist.rerankers.drivers import Freely, Rounds
from shortlist.rerankers.fusion import METHODS, Fused
from shortlist.rerankers.kinds import KINDS, Made, describe_kinds, kind
from shortlist.rerankers.mergers import MERGERS
from shortlist.rerankers.policies import LabelPolicy, PairPolicy, TextPolicy
from shortlist.rerankers.reasoned import ReasonedLabelPolicy
from shortlist.text.groupwise import GroupScores
from shortlist.text.listwise import Listwise
from shortlist.text.pointwise import PointwiseRating
from shortlist.types import Candidate, RerankRequest

SERVER = "openai:m@http://127.0.0.1:9/v1"
"""Nothing is connected before the first call."""


@pytest.fixture(autouse=True)
def _pairs(monkeypatch):
    """Cross-encoders without files: a score is the passage's length; the model's name is the sign."""

    def scorer(model, **options):
        sign = -1.0 if model == "shortest" else 1.0
        return ScriptedPairScorer(lambda pair: sign * len(pair.passage), identity=f"{model} {options}")

    monkeypatch.setattr(kinds, "open_pair_scorer", scorer)


REQUEST = RerankRequest.of("q?", ["a" * 2, "b" * 3, "c" * 1, "d" * 4])

OPENED = [
    ("cross-encoder:longest", PairPolicy, "Pointwise()"),
    ("hops:longest?hops=3&words=9", PairPolicy, "Hops(hops=3, weight=1.5, words=9, enough=None, none_below=None)"),
    ("hops:longest?none_below=0", PairPolicy, "Hops(hops=2, weight=1.5, words=60, enough=None, none_below=0.0)"),
    (f"pointwise:{SERVER}", LabelPolicy, "Pointwise()"),
    (f"pointwise:{SERVER}?prompt=rating&scoring=product", LabelPolicy, "Pointwise()"),
    (f"pointwise:{SERVER}?read=text", TextPolicy, "Pointwise()"),
    (f"pointwise:{SERVER}?prompt=rating&reasoning=true", TextPolicy, "Pointwise()"),
    (f"likelihood:{SERVER}", LabelPolicy, "Pointwise()"),
    (f"pairwise:{SERVER}", LabelPolicy, "PairwiseSort(top=None, both_orders=True)"),
    (f"pairwise:{SERVER}?top=3&both_orders=no&read=text", TextPolicy, "PairwiseSort(top=3, both_orders=False)"),
    (f"pairwise:{SERVER}?strategy=all", LabelPolicy, "AllPairs(both_orders=True)"),
    (f"setwise:{SERVER}?children=2&top=5", LabelPolicy, "SetwiseHeap(children=2, top=5)"),
    (f"setwise:{SERVER}?read=text", TextPolicy, "SetwiseHeap(children=3, top=10)"),
    (f"listwise:{SERVER}", TextPolicy, "SlidingWindow(size=20, stride=10, passes=1)"),
    (f"listwise:{SERVER}?window=7", TextPolicy, "SlidingWindow(size=7, stride=3, passes=1)"),
    (f"listwise:{SERVER}?window=4&stride=2&passes=2", TextPolicy, "SlidingWindow(size=4, stride=2, passes=2)"),
    (f"listwise:{SERVER}?strategy=whole", TextPolicy, "WholeList()"),
    (f"listwise:{SERVER}?strategy=tournament&window=5&top=3", TextPolicy, "Tournament(size=5, top=3"),
    (f"dynamic:{SERVER}?window=9", TextPolicy, "DynamicK(size=9"),
]


@pytest.mark.parametrize(("name", "policy", "strategy"), OPENED, ids=[name.replace(SERVER, "m") for name, *_ in OPENED])
def test_every_kind_opens_from_its_name(name, policy, strategy):
    made = open_reranker(name)
    assert isinstance(made.policy, policy)
    assert repr(made.strategy).startswith(strategy)
    assert made.name == name


def test_no_kind_is_left_out_here():
    assert {name.partition(":")[0] for name, *_ in OPENED} | {"groupwise"} == set(KINDS)


def test_likelihoods_behind_reasoning_need_a_model_in_this_process(monkeypatch):
    name = "pointwise:any?prompt=rating&reasoning=true&read=labels"
    with pytest.raises(InvalidInput, match=r"cannot read likelihoods behind a reply that has begun; .*read=text"):
        open_reranker(name.replace("any", SERVER))
    reply = "<think>why</think><answer>3</answer>"
    model = ScriptedContinuer(
        lambda ask: reply, logprobs=lambda q: [-1.0 if x in "39" else -math.inf for x in q.labels]
    )
    monkeypatch.setattr(kinds, "open_llm", lambda *_: model)
    made = open_reranker(f"{name}&max_tokens=5&retries=1&constrain=true&scoring=expected&passage_tokens=77")
    assert isinstance(made.policy, ReasonedLabelPolicy)
    assert (made.policy.max_tokens, made.policy.retries, made.policy.constrain) == (5, 1, True)
    assert made.policy.prompt == PointwiseRating(reasoning=True, passage_tokens=77)
    ranking = next(made.rerank([REQUEST]))
    assert (ranking.scores, ranking.reasoning) == ((6.0,) * 4, ("why",) * 4)
    with pytest.raises(UnknownName, match="value for read"):
        open_reranker(name.replace("labels", "both"))


def test_groups_and_their_options():
    plain = open_reranker(f"groupwise:{SERVER}").strategy
    assert (plain.size, plain.repeats, plain.anchors) == (10, 1, 0)
    name = f"groupwise:{SERVER}?size=5&repeat=3&anchors=1&design=random&merger=rrf&group_seed=4&reasoning=true"
    made = open_reranker(name)
    assert (made.strategy.size, made.strategy.repeats, made.strategy.anchors, made.strategy.seed) == (5, 3, 1, 4)
    assert made.strategy.design is DESIGNS["random"]
    assert made.strategy.merger is MERGERS["rrf"]
    assert made.policy.prompt == GroupScores(reasoning=True)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("merger", MERGERS)
def test_every_design_and_merger_has_a_name(design, merger):
    anchors = "&anchors=1" if merger == "anchored" else ""
    made = open_reranker(f"groupwise:{SERVER}?design={design}&merger={merger}{anchors}").strategy
    assert (made.design, made.merger) == (DESIGNS[design], MERGERS[merger])


def test_prompts_and_decoding():
    name = f"listwise:{SERVER}?reasoning=yes&first_stage_scores=1&passage_tokens=99&max_tokens=5"
    policy = open_reranker(f"{name}&temperature=0.5&seed=3&retries=2&constrain=on").policy
    assert (policy.prompt.kind, policy.prompt.passage_tokens) == ("listwise-reasoning", 99)
    assert policy.prompt.first_stage_scores is True
    assert (policy.max_tokens, policy.temperature, policy.seed, policy.retries) == (5, 0.5, 3, 2)
    assert policy.constrain is True
    assert open_reranker(f"listwise:{SERVER}").policy.prompt == Listwise()


@pytest.mark.parametrize("kind", ["listwise", "groupwise", "dynamic", "setwise", "pairwise", "pointwise"])
def test_the_prompt_is_the_same_whatever_the_model_is_called(kind):
    names = ("m", "le723z/rearank-7b", "GroupRank-32B", "qwen3-think", "gpt-4o")
    prompts = {open_reranker(f"{kind}:openai:{name}@http://127.0.0.1:9/v1").policy.prompt for name in names}
    assert len(prompts) == 1


def test_later_hops_may_be_another_models():
    assert next(open_reranker("hops:longest").rerank([REQUEST])).order == (3, 1, 0, 2)
    made = open_reranker("hops:longest?later=shortest")
    assert next(made.rerank([REQUEST])).order == (3, 2, 0, 1)
    assert "shortest" in made.policy.identity


def test_a_later_hop_that_learnt_to_stop_sets_the_cutoff(tmp_path):
    """Lengths are scores: of those left beside the longest (2, 3, 1) two stand above a null document of 1.5."""
    save_checkpoint_config(tmp_path, "cross-encoder", {"keep": "null:0,0,0,1.5,3"}, None)
    assert next(open_reranker("hops:longest").rerank([REQUEST])).cutoff is None
    ranking = next(open_reranker(f"hops:longest?later={tmp_path}").rerank([REQUEST]))
    assert ranking.cutoff == 3
    for bias, kept in ((-1.0, 4), (1.0, 2), (9.0, 1)):
        made = open_reranker(f"hops:longest?later={tmp_path}&stop_bias={bias}")
        assert next(made.rerank([REQUEST])).cutoff == kept
    with pytest.raises(InvalidInput, match=r"stop_bias 1\.0 needs a later look"):
        open_reranker("hops:longest?later=shortest&stop_bias=1")


def test_a_weight_without_fusion_is_an_error():
    with pytest.raises(InvalidInput, match="weight goes with fuse"):
        open_reranker("cross-encoder:longest?weight=0.5")


def test_options_of_cross_encoders_reach_every_engine(monkeypatch):
    monkeypatch.undo()  # the real ones; nothing is loaded
    for engine in ("onnx", "transformers", "sentence-transformers"):
        scorer = opening.open_pair_scorer("minilm-l12", engine=engine, max_length=64, threads=3)
        assert (scorer.max_length, scorer.threads) == (64, 3)
        with pytest.raises(InvalidInput, match="max_length 0"):
            opening.open_pair_scorer("minilm-l12", engine=engine, max_length=0)


def test_options_reach_the_backend():
    assert "'max_length': 128" in open_reranker("cross-encoder:m?max_length=128&threads=1").policy.identity
    assert "'threads': 1" in open_reranker("cross-encoder:m?max_length=128&threads=1").policy.identity
    assert "'engine': 'onnx'" in open_reranker("cross-encoder:m?engine=onnx").policy.identity


def test_network_backends_go_freely_and_local_ones_in_rounds():
    assert open_reranker(f"listwise:{SERVER}?concurrency=3").driver == Freely(3)
    assert open_reranker(f"listwise:{SERVER}").driver == Freely(16)
    assert open_reranker("cross-encoder:m").driver == Rounds()


def test_a_cache_keeps_the_driver(tmp_path):
    made = open_reranker(f"listwise:{SERVER}?concurrency=3", store=Store(tmp_path / "c.sqlite"))
    assert made.driver == Freely(3)


def test_on_error_and_name():
    assert open_reranker("cross-encoder:m", on_error="raise").on_error == "raise"
    assert open_reranker("cross-encoder:m?on_error=report", on_error="raise").on_error == "report"
    assert open_reranker("cross-encoder:m?name=mine").name == "mine"


# ------------------------------------------------------------------------------------------------ what cannot be opened

WRONG = [
    ("crossencoder:m", "unknown reranker kind 'crossencoder'. Did you mean 'cross-encoder'?"),
    ("", "a link of the chain is empty"),
    ("cross-encoder:m >> ", "a link of the chain is empty"),
    ("listwise", "names no model; write listwise:MODEL"),
    (
        "cross-encoder:m?maxlength=3",
        "unknown option of cross-encoder:m?maxlength=3 'maxlength'. Did you mean 'max_length'",
    ),
    ("cross-encoder:m?max_length=long", "max_length=long is not a whole number"),
    ("cross-encoder:m?engine=tensor", "Known: auto, onnx, sentence-transformers, transformers"),
    (f"listwise:{SERVER}?strategy=windows", "Did you mean 'window'? Known: tournament, whole, window"),
    (f"listwise:{SERVER}?reasoning=maybe", "neither true nor false"),
    (f"listwise:{SERVER}?temperature=hot", "temperature=hot is not a number"),
    (f"listwise:{SERVER}?window=0", "size 0, stride 1"),
    (f"listwise:{SERVER}?window=1&window=2", "each name once"),
    (f"listwise:{SERVER}?concurrency=-1", "concurrency"),
    (f"pointwise:{SERVER}?reasoning=true", "go with prompt=rating"),
    (f"pointwise:{SERVER}?scoring=product", "go with prompt=rating"),
    (f"pointwise:{SERVER}?prompt=maybe", "Known: rating, yes-no"),
    (f"groupwise:{SERVER}?design=latin", "Known: balanced, disjoint, interval, random"),
    (f"groupwise:{SERVER}?merger=median", "bradley-terry"),
    ("cross-encoder:m?fuse=sum", "min-max"),
    ("cross-encoder:m?keep=first:3", "Known: gap, model, null, null-share, threshold, tokens, top"),
    ("cross-encoder:m?keep=top:few", "after 'top' comes a whole number"),
    ("cross-encoder:m?keep=top:-1", "k is -1"),
    ("cross-encoder:m?on_error=ignore", "Known: raise, report"),
    ("cross-encoder:m >> cross-encoder:m?depth=0", "depth 0"),
    ("listwise:openai:m", "openai:MODEL@URL"),
]


@pytest.mark.parametrize(("name", "words"), WRONG, ids=[name.replace(SERVER, "m") or "empty" for name, _ in WRONG])
def test_names_that_mean_nothing(name, words):
    with pytest.raises(InvalidInput) as problem:
        open_reranker(name)
    assert words in str(problem.value)


# ------------------------------------------------------------------------------------------------ chains, fusion, cutoffs


def test_the_second_of_a_chain_ranks_the_first_few_of_the_first():
    chain = open_reranker("cross-encoder:longest >> cross-encoder:shortest?depth=2")
    assert isinstance(chain, Cascade)
    assert chain.name == "cross-encoder:longest >> cross-encoder:shortest?depth=2"
    (ranking,) = chain.rerank([REQUEST])
    assert ranking.order == (1, 3, 0, 2)  # d and b are longest; of these two the shorter comes first
    assert ranking.usage.calls == 6


def test_the_first_of_a_chain_may_have_a_depth_too():
    (ranking,) = open_reranker("cross-encoder:longest?depth=2 >> cross-encoder:longest?depth=3").rerank([REQUEST])
    assert ranking.order == (1, 0, 2, 3)


def test_alone_a_depth_is_how_many_are_ranked():
    (ranking,) = open_reranker("cross-encoder:longest?depth=2").rerank([REQUEST])
    assert ranking.order == (1, 0, 2, 3)
    assert ranking.usage.calls == 2


@pytest.mark.parametrize("method", METHODS)
def test_fusion_with_the_first_stage(method):
    scored = RerankRequest(
        REQUEST.query, tuple(Candidate(c.document, 4.0 - i) for i, c in enumerate(REQUEST.candidates))
    )
    made = open_reranker(f"cross-encoder:longest?fuse={method}&weight=0.9")
    assert isinstance(made, Fused)
    (ranking,) = made.rerank([scored])
    assert ranking.order[0] == 0  # the first stage weighs most
    (ranking,) = open_reranker(f"cross-encoder:longest?fuse={method}&weight=0").rerank([scored])
    assert ranking.order == (3, 1, 0, 2)


def test_fusion_of_scores_needs_scores():
    with pytest.raises(InvalidInput, match="fuse by rrf"):
        list(open_reranker("cross-encoder:longest?fuse=min-max").rerank([REQUEST]))


@pytest.mark.parametrize(
    ("rule", "value", "kept"),
    [
        ("top:2", TopK(2), 2),
        ("threshold:2.5", Threshold(2.5), 2),
        ("gap", LargestGap(), 1),
        ("gap:3", LargestGap(maximum=3), 1),
        ("tokens:0", TokenBudget(0), 0),
        ("model", ModelSays(), 4),
        ("model:3", ModelSays(3), 3),
    ],
)
def test_cutoff_rules(rule, value, kept):
    made = open_reranker(f"cross-encoder:longest?keep={rule}")
    assert isinstance(made, Keep)
    assert made.rule == value
    (ranking,) = made.rerank([REQUEST])
    assert (len(ranking), ranking.cutoff) == (4, kept)


def test_fusion_and_cutoff_within_a_chain():
    (ranking,) = open_reranker("cross-encoder:shortest?fuse=rrf >> cross-encoder:longest?keep=top:1").rerank([REQUEST])
    assert ranking.order == (3, 1, 0, 2)
    assert ranking.cutoff == 1


# ------------------------------------------------------------------------------------------------ kinds of one's own


@pytest.fixture
def own_kind():
    seen = []

    @kind("own")
    def own(order):
        """Says what its option says.

        More words that lists do not show.
        """
        seen.append((order.model, order.prompt))
        reply = order.options.text("reply", "[1]")
        completer = ScriptedCompleter(lambda _: reply)
        return Made.of(order.asking(Listwise(), completer), strategies.WholeList(), completer)

    yield seen
    del KINDS["own"]


def test_a_kind_of_ones_own(own_kind):
    assert describe_kinds()["own"] == "Says what its option says."
    (ranking,) = open_reranker("own:x?reply=[3]%20>%20[1]%20>%20[2]%20>%20[4]&keep=top:1").rerank([REQUEST])
    assert (ranking.order, ranking.cutoff) == ((2, 0, 1, 3), 1)
    assert own_kind == [("x", None)]


def test_every_kind_says_what_it_does():
    assert all(len(what) > 20 for what in describe_kinds().values())


# ------------------------------------------------------------------------------------------------ checkpoints


def test_a_checkpoint_knows_its_kind_options_and_prompt(own_kind, tmp_path):
    prompt = Listwise(passage_tokens=33)
    save_checkpoint_config(tmp_path, "own", {"reply": "[2]", "retries": 1, "constrain": True}, prompt)
    told = json.loads((tmp_path / CONFIG).read_text())
    assert told["prompt_sha256"] == prompt.fingerprint
    made = open_reranker(str(tmp_path))
    assert made.policy.prompt == prompt
    assert made.policy.prompt.fingerprint == prompt.fingerprint
    assert (made.policy.retries, made.policy.constrain) == (1, True)
    assert own_kind == [(str(tmp_path), prompt)]
    assert next(iter(made.rerank([REQUEST]))).order[0] == 1


def test_options_after_a_checkpoint_overrule_its_own(own_kind, tmp_path):
    save_checkpoint_config(tmp_path, "own", {"reply": "[2]"}, Listwise())
    made = open_reranker(f"{tmp_path}?reply=[3]&passage_tokens=11&keep=top:2")
    (ranking,) = made.rerank([REQUEST])
    assert (ranking.order[0], ranking.cutoff) == (2, 2)
    assert made.ranker.policy.prompt.passage_tokens == 11


def test_a_checkpoints_own_options_may_be_idle_but_not_those_that_are_given(own_kind, tmp_path):
    save_checkpoint_config(tmp_path, "own", {"reply": "[2]", "of_old": "5"}, Listwise())
    assert open_reranker(str(tmp_path)).policy.prompt == Listwise()
    with pytest.raises(UnknownName, match="'of_old'"):
        open_reranker(f"{tmp_path}?of_old=6")


def test_a_checkpoint_without_a_prompt_takes_the_kinds(own_kind, tmp_path):
    save_checkpoint_config(tmp_path, "own", {"max_tokens": None}, None)
    made = open_reranker(str(tmp_path))
    assert made.policy.prompt == Listwise()
    assert made.policy.max_tokens is None


def test_a_checkpoint_whose_prompt_has_changed_is_refused(own_kind, tmp_path):
    save_checkpoint_config(tmp_path, "own", {}, Listwise())
    told = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**told, "prompt_sha256": "0" * 64}))
    with pytest.raises(InvalidFile, match="not the one it was trained with"):
        open_reranker(str(tmp_path))


def test_a_checkpoint_of_another_prompt_than_its_kind_asks(own_kind, tmp_path):
    save_checkpoint_config(tmp_path, "own", {}, GroupScores())
    with pytest.raises(InvalidInput, match="'group-scores', which this kind does not ask"):
        open_reranker(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a reranker's configuration"),
        ("[]", "not a reranker's configuration"),
        ('{"options": {}}', "not a reranker's configuration"),
        ('{"kind": "lstwise"}', "unknown reranker kind 'lstwise'"),
        ('{"kind": "listwise", "prompt": {"kind": "listwize"}}', "listwize"),
    ],
)
def test_checkpoints_that_cannot_be_read(tmp_path, text, words):
    (tmp_path / CONFIG).write_text(text)
    with pytest.raises(InvalidInput, match=words):
        open_reranker(str(tmp_path))


def test_saving_a_checkpoint_of_an_unknown_kind(tmp_path):
    with pytest.raises(UnknownName, match="listwise"):
        save_checkpoint_config(tmp_path, "lstwise", {}, None)
    assert not (tmp_path / CONFIG).exists()


# ------------------------------------------------------------------------------------------------ models by name


def test_a_backend_that_tells_no_likelihoods_says_what_to_do(monkeypatch):
    monkeypatch.setattr(opening, "open_llm", lambda *_, **__: ScriptedCompleter(lambda _: "x"))
    with pytest.raises(InvalidInput, match="read=text"):
        open_reranker("pointwise:m")


def test_unknown_engines_list_the_known_ones():
    for call in (opening.open_llm, opening.open_scorer):
        with pytest.raises(UnknownName, match="auto"):
            call("m", opening.LLMOptions(engine="tensor"))
    with pytest.raises(UnknownName, match="auto"):
        opening.open_pair_scorer("m", engine="tensor")


def test_reused_prefixes_are_an_option_of_models_in_this_process(tmp_path):
    assert opening.open_llm("smollm2-135m", opening.LLMOptions(reuse_prefix=True)).reuse_prefix
    assert open_reranker("listwise:smollm2-135m?reuse_prefix=true").policy.completer.reuse_prefix
    assert opening.open_llm(str(tmp_path), opening.LLMOptions(reuse_prefix=True)).reuse_prefix
    with pytest.raises(InvalidInput, match="reuse_prefix"):
        opening.open_llm(SERVER, opening.LLMOptions(reuse_prefix=True))


def test_precision_is_an_option_of_transformers_alone(tmp_path):
    assert opening.open_llm(str(tmp_path), opening.LLMOptions(dtype="bfloat16")).dtype == "bfloat16"
    for model in (SERVER, "smollm2-135m"):
        with pytest.raises(InvalidInput, match="dtype"):
            opening.open_llm(model, opening.LLMOptions(dtype="bfloat16"))


def test_a_chain_of_server_models_over_http():
    with serve(lambda body: "[2] > [1]") as server:
        name = f"listwise:openai:m@{server.url}/v1 >> listwise:openai:other@{server.url}/v1?depth=2"
        (ranking,) = open_reranker(name).rerank([RerankRequest.of("q?", ["a", "b", "c"])])
    assert ranking.order == (0, 1, 2)  # swapped twice
    assert [body["model"] for body in server.seen] == ["m", "other"]
