#!/usr/bin/env bash
# The real clients of rerank APIs against our server: tests/clients, in environments made for them alone.
#
#     scripts/client_tests.sh [FOLDER] [pytest's arguments …]
#
# Three environments, since no one can hold all: LangChain's and LlamaIndex's components are made for Cohere's fifth
# client, typed spans came with its seventh; Infinity's client and LiteLLM want different versions of httpx. No torch is
# installed. FOLDER keeps the environments for the next time (a few minutes saved); without it they are made in a
# temporary folder, and removed. PYTHON is the interpreter to make them with.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  mkdir -p "$1"
  folder=$(cd "$1" && pwd)
  shift
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi

ours=("$root[serve,mcp,langchain,llama-index]" "pytest>=8.3")
failed=0

# NAME 'PACKAGES …' 'TESTS …' [pytest's arguments …]
tested() {
  local name=$1 packages=$2 tests=$3 python=$folder/$1/bin/python
  shift 3
  # what was asked for is noted, so that a kept environment is made anew when that changes
  if [ "$(cat "$folder/$name/.asked" 2>/dev/null)" != "$packages" ]; then
    rm -rf "${folder:?}/$name"
    "${PYTHON:-python3}" -m venv "$folder/$name"
    # shellcheck disable=SC2086
    "$python" -m pip install --quiet --disable-pip-version-check -e "${ours[@]}" $packages
    echo "$packages" >"$folder/$name/.asked"
  fi
  echo "== $name: $("$python" -m pip list --format freeze --disable-pip-version-check 2>/dev/null |
    grep -E '^(cohere|langchain|litellm|openai|voyageai|infinity|rerankers|llama-index-(core|post)|mcp=)' | tr '\n' ' ')"
  # some clients leave their sockets to the garbage collector, which may come after the last test
  # shellcheck disable=SC2086
  (cd "$root" && PYTHONDONTWRITEBYTECODE=1 "$python" -m pytest -p no:cacheprovider -m 'not models' -rs \
    -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning $tests "$@") ||
    failed=1
}

tested most "cohere>=5.20,<6 langchain-cohere openai voyageai infinity-client rerankers
  llama-index-postprocessor-cohere-rerank llama-index-postprocessor-jinaai-rerank llama-index-postprocessor-tei-rerank" \
  "tests/clients tests/serving/test_mcp.py tests/integrations/test_llama_index.py tests/integrations/test_langchain.py
  tests/integrations/test_lookalikes.py --ignore tests/clients/test_litellm_client.py" "$@"
tested cohere7 "cohere>=7.3" "tests/clients/test_cohere_clients.py" "$@"
tested litellm "litellm" "tests/clients/test_litellm_client.py" "$@"
exit $failed
