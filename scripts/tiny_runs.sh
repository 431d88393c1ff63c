#!/usr/bin/env bash
# The experiments of text policies that a CPU can run, stage by stage: results.md tells what came of them.
#
#   DATA=folder-of-collections OUT=runs scripts/tiny_runs.sh data groups-look groups-sft "groups-rl 0" …
#
# A stage is a function below; one with words behind it is given in quotes. The minutes told are of one slow core (no AVX-512)
# beside another job; stages without were run on a faster machine only, or not yet. What exists is not made again. Set OMP_NUM_THREADS and taskset to run two side by side.
set -euo pipefail
: "${DATA:?a folder of collections in BEIR\'s layout}" "${OUT:?where data and runs go}"
BIN=${BIN:-$(dirname "$0")/../.venv/bin}
HERE=$(dirname "$0")
export OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
mkdir -p "$OUT"

say() { "$BIN/shortlist" "$@"; }
missing() { [ ! -e "$OUT/$1" ]; }
# once FILE COMMAND…: unless FILE is there
once() { ! missing "$1" || "${@:2}"; }
# train NAME METHOD RECIPE EXTRA…: a run by name, gone on with if it was cut off
train() {
  local name=$1 method=$2 recipe=$3; shift 3
  if missing "$name/results.json"; then
    local resume=(); missing "$name/recipe.yaml" || resume=(--resume)
    say train "$method" "$recipe" --output "$OUT/$name" "${resume[@]}" "$@"
  fi
}
last() { echo "model=$OUT/$1/checkpoints/last"; }

# --- lists (2 min): pools of six collections and TREC DL 2021; dev and test queries apart
data() {
  once pools/corpus.jsonl "$BIN/python" "$HERE/pools.py" "$DATA" --output "$OUT/pools" \
    nq-open-oracle=1600 fiqa-goldpool=600 antique-judged=200 pubmedqa=400 xquad-en=500 wikiqa-test=200
  once cloze.jsonl say data cloze "$OUT/pools" --count 3000 --output "$OUT/cloze.jsonl"
  once clozeR.jsonl say data cloze "$OUT/pools" --count 3000 --reasoning --output "$OUT/clozeR.jsonl"
  once pools-index say index --data "$OUT/pools" --output "$OUT/pools-index"
  for split in train dev test; do
    once $split.trec say retrieve --data "$OUT/pools" --index "$OUT/pools-index" --split $split --output "$OUT/$split.trec"
  done
  two_levels; shown shuffled shuffled=1; shown first first-stage=1; shown mixed first-stage=1,shuffled=1,near-ideal=1
  once dev.jsonl say data draw --data "$OUT/pools" --run "$OUT/dev.trec" --split dev --size 5 --depth 10 --per-query 1 \
    --orders shuffled=1 --floor 0 --output "$OUT/dev.jsonl"
  once test5.trec "$BIN/python" "$HERE/short_lists.py" "$OUT/pools" --run "$OUT/test.trec" --limit 320 --output "$OUT/test5.trec"
}
# two levels to imitate: a positive of each query and four of BM25's first ten that no one judged relevant
two_levels() {
  missing two.jsonl || return 0
  say data bands --data "$OUT/pools" --run "$OUT/train.trec" --split train --band hard=1-10:4 --output "$OUT/two-pools.jsonl"
  say data bands --data "$OUT/pools" --run "$OUT/train.trec" --split train --band medium=51-100:4 --output "$OUT/easy.jsonl"
  for seed in 0 1 2 3; do
    say data bands --data "$DATA/trec-dl21" --run "$DATA/trec-dl21/run.trec" --rel 2 --band hard=1-10:2 --band medium=11-100:2 \
      --seed $seed --output "$OUT/two-dl21-$seed.jsonl"
  done
  cat "$OUT"/two-pools.jsonl "$OUT"/two-dl21-?.jsonl > "$OUT/two.jsonl"
}
# lists with rewards, NAME.jsonl, in the orders ORDERS: two of a pools query, four of TREC's
shown() {
  missing "$1.jsonl" || return 0
  say data draw --data "$OUT/pools" --run "$OUT/train.trec" --split train --size 5 --depth 10 --per-query 2 --orders "$2" --floor 0 \
    --output "$OUT/$1-pools.jsonl"
  say data draw --data "$DATA/trec-dl21" --run "$DATA/trec-dl21/run.trec" --rel 2 --size 5 --depth 50 --per-query 4 --orders "$2" \
    --floor 0 --output "$OUT/$1-dl21.jsonl"
  cat "$OUT/$1-pools.jsonl" "$OUT/$1-dl21.jsonl" > "$OUT/$1.jsonl"
}

# --- groups (GroupRank): snippets (15 min), two levels (30 and 10), then reinforcement (25 a seed)
groups-look() { train groups-look sft grouprank-sft-tiny --lessons "$OUT/cloze.jsonl" optimiser.steps=100; }
# negatives of BM25's first ten at once: nothing was learnt in 90 steps, and then in ten from easy ones (ranks 51 to 100)
groups-hard() {
  train groups-hard sft grouprank-sft-tiny --lessons "$OUT/two.jsonl" --dev "$OUT/dev.jsonl" \
    "$(last groups-look)" llm.keep_layers=null optimiser.steps=90 optimiser.decay=constant dev.every=45 save_every=15
}
groups-sft() {
  train groups-sft sft grouprank-sft-tiny --lessons "$OUT/easy.jsonl" --dev "$OUT/dev.jsonl" \
    "$(last groups-hard)" llm.keep_layers=null optimiser.steps=30 optimiser.decay=constant dev.every=30 dev.queries=20 save_every=15
}
# groups-rl SEED [LISTS] [CHANGES]: lists as shuffled.jsonl, first.jsonl or mixed.jsonl show them
groups-rl() {
  train "groups-rl-$1${2:+-$2}" grpo grouprank-grpo-tiny --lessons "$OUT/${2:-shuffled}.jsonl" --dev "$OUT/dev.jsonl" \
    "$(last groups-sft)" seed="$1" "${@:3}"
}
# the control: as many minutes of imitation in its place
groups-more() {
  train groups-more sft grouprank-sft-tiny --lessons "$OUT/two.jsonl" --dev "$OUT/dev.jsonl" "$(last groups-sft)" \
    llm.keep_layers=null optimiser.steps=110 optimiser.lr=1e-4 dev.every=110 dev.queries=80 seed=1
}

# --- orders (REARANK): snippets, then reinforcement; with a thought before the order: snippets (16 min), reinforcement (38)
orders-look() {
  train orders-look sft rearank-tiny method=sft data.hints=true optimiser.lr=3e-4 optimiser.lessons=8 optimiser.micro=8 \
    optimiser.steps=70 --lessons "$OUT/cloze.jsonl" "$(last groups-sft)"
}
orders-rl() {
  train "orders-rl-$1" grpo rearank-tiny --lessons "$OUT/shuffled.jsonl" --dev "$OUT/dev.jsonl" "$(last orders-look)" \
    seed="$1" "${@:2}"
}
# (what results.md tells of was cut off at step 48 of a schedule of 70)
think-look() {
  train think-look sft rearank-think-tiny method=sft data.hints=true optimiser.lr=3e-4 optimiser.lessons=8 optimiser.micro=8 \
    optimiser.steps=48 --lessons "$OUT/clozeR.jsonl" "$(last groups-sft)"
}
think-rl() {
  train "think-rl-$1" grpo rearank-think-tiny --lessons "$OUT/shuffled.jsonl" --dev "$OUT/dev.jsonl" \
    "model=$OUT/think-look/checkpoints/best" seed="$1" "${@:2}"
}

# --- subsets (DynamicRAG): snippets (13 min), gold passages among MiniLM's first five (21), then a reader's rewards (52, DPO)
READER=${READER:-}
hotpot() {
  local hot=$DATA/hotpotqa-distractor
  for split in train:400 dev:40 test:100; do
    once hot-${split%:*}.trec say rerank --reranker cross-encoder:minilm-l12 --data "$hot" --run "$hot/run.trec" --split "${split%:*}" \
      --limit "${split#*:}" --depth 10 --output "$OUT/hot-${split%:*}.trec"
  done
  for split in train dev; do
    for order in first-stage shuffled; do
      once hot-$split-$order.jsonl say data draw --data "$hot" --run "$OUT/hot-$split.trec" --split $split --size 5 --depth 5 \
        --per-query 1 --orders $order=1 --floor 0 --ideal --output "$OUT/hot-$split-$order.jsonl"
    done
  done
  cat "$OUT"/hot-train-first-stage.jsonl "$OUT"/hot-train-shuffled.jsonl > "$OUT/hot-both.jsonl"
}
subsets-look() {
  train subsets-look sft dynamicrag-sft-tiny --lessons "$OUT/cloze.jsonl" "$(last groups-sft)" llm.keep_layers=null optimiser.steps=70
}
subsets-sft() {
  train subsets-sft sft dynamicrag-sft-tiny --lessons "$OUT/hot-both.jsonl" --dev "$OUT/hot-dev-first-stage.jsonl" "$(last subsets-look)" \
    llm.keep_layers=null optimiser.steps=30 dev.every=30 dev.queries=20
}
# subsets-rl METHOD SEED EXTRA…: grpo or dpo; every reading is kept for the other runs
subsets-rl() {
  train "subsets-$1-$2" "$1" "dynamicrag-$1-tiny" --lessons "$OUT/hot-train-first-stage.jsonl" --dev "$OUT/hot-dev-first-stage.jsonl" \
    "$(last subsets-sft)" "reward.reader=${READER:?a model to read with}" "reward.cache=$OUT/reads-train.sqlite" seed="$2" "${@:3}"
}

# --- what they are worth: on-lists TAG SYSTEM… (320 test lists), on-trec TAG RUN SYSTEM… (TREC DL 2019, top 20)
on-lists() {
  local tag=$1 rerankers=(); shift
  for system in "$@"; do rerankers+=(--reranker "$OUT/$system"); done
  say evaluate --data "$OUT/pools" --run "$OUT/test5.trec" --queries "$OUT/test5.queries.jsonl" --depth 5 --measures nDCG@10 \
    --cache "$OUT/eval-$tag.sqlite" --json "$OUT/$tag.json" "${rerankers[@]}"
}
on-trec() {
  local tag=$1 run=$2 rerankers=(); shift 2
  for system in "$@"; do rerankers+=(--reranker "$OUT/$system"); done
  say evaluate --data "$DATA/trec-dl19" --run "$DATA/trec-dl19/$run" --depth 20 --measures nDCG@10 \
    --cache "$OUT/eval-$tag.sqlite" --json "$OUT/$tag.json" "${rerankers[@]}"
}

for stage in "$@"; do
  echo "== $stage"
  # shellcheck disable=SC2086
  $stage
done
