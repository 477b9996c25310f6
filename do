#!/usr/bin/env bash
# The verbs of this project. Each sets up what it needs first; nothing is installed outside this folder but the
# local stack's own state folder (OPINION_STATE_DIR).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
readonly VENV=.venv

usage() {
  cat <<'TEXT'
usage: ./do VERB [ARGUMENTS]

  demo      set up, start the local stack, ingest the samples, ask two questions
  test      set up, then run every test on real servers (arguments go to pytest)
  check     lint, types, import contracts and formatting
  up        start the local stack           down    stop it
  bench     run a benchmark: ./do bench NAME [ARGUMENTS]
  setup     install what the product needs into .venv, and fetch the servers
  opinion   run the command line: ./do opinion query "..."
  lock      renew the hashed requirements from pyproject.toml
TEXT
}

say() { printf '\033[2m%s\033[0m\n' "$*" >&2; }
fail() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 4; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && { echo "$candidate"; return; }
  done
  fail "no Python 3.11 or newer" "install one, for example: apt-get install python3"
}

make_venv() {
  [ -x "$VENV/bin/python" ] && return
  local python; python=$(find_python)
  if command -v uv >/dev/null; then uv venv -q --python "$python" "$VENV"; return; fi
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
      fail "this Python cannot make virtual environments" "install python3-venv: sudo apt-get install python3-venv"
    apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null
  fi
  "$python" -m venv "$VENV"
  "$VENV/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
}

uv_pip() {
  local uv="$VENV/bin/uv"
  [ -x "$uv" ] || uv=uv
  "$uv" pip "$@"
}

# install run|dev: everything in requirements/, by hash, once for each content of that file.
install() {
  make_venv
  local stamp="$VENV/.installed-$1" wanted
  wanted=$(cat "requirements/$1.txt" pyproject.toml | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ] && return
  say "installing the Python packages of requirements/$1.txt"
  uv_pip install -q --python "$VENV/bin/python" --require-hashes -r "requirements/$1.txt"
  uv_pip install -q --python "$VENV/bin/python" --no-deps --no-build-isolation -e .
  printf '%s\n' "$wanted" >"$stamp"
}

# program COMMAND PACKAGE: some tests need programs of the system. Elsewhere they are skipped by name without them; CI
# runs everything.
program() {
  [ "${CI:-}" = true ] && ! command -v "$1" >/dev/null || return 0
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "no $1" "install it: sudo apt-get install $2"
  say "installing $2"
  apt-get -qq update && apt-get -qq install -y "$2" >/dev/null
}

opinion() { "$VENV/bin/opinion" "$@"; }

lock() {
  local target
  command -v uv >/dev/null || fail "uv is not installed" "pip install uv"
  compile() { uv pip compile -q --generate-hashes --universal --python-version 3.11 --custom-compile-command "./do lock" "$@"; }
  compile pyproject.toml --all-extras --group dev -o requirements/dev.txt
  # The same versions with and without the tools: what is tested is what runs.
  compile pyproject.toml --extra local --extra server --group build -c requirements/dev.txt -o requirements/run.txt
  # Programs that call /v2/rerank in the tests, in an environment of their own: they hold the Cohere SDK back.
  compile --group cohere-clients -o requirements/cohere-clients.txt
  echo uv | compile - -o requirements/uv.txt
}

check() {
  install dev
  "$VENV/bin/ruff" check .
  "$VENV/bin/ruff" format --check .
  "$VENV/bin/mypy"
  "$VENV/bin/lint-imports"
}

demo() {
  install run
  opinion up
  opinion ingest --samples
  echo
  opinion query "ibuprofen dosage for children" --explain
  echo
  opinion query "how do I reset the password of my router?" || [ $? = 3 ]
  printf '\nThe stack goes on running: ./do opinion status, ./do opinion query "...", ./do down\n'
}

verb="${1:-help}"
[ $# -gt 0 ] && shift
case "$verb" in
  demo) demo ;;
  test) install dev; check; program chromium chromium; program qemu-x86_64 qemu-user; exec "$VENV/bin/pytest" --numprocesses=3 --no-loadscope-reorder "$@" ;;
  check) check ;;
  setup) install run; opinion setup ;;
  up | down) install run; opinion "$verb" "$@" ;;
  opinion) install run; opinion "$@" ;;
  bench) install dev; name="${1:?which benchmark? see benchmarks/README.md}"; shift; exec "$VENV/bin/python" "benchmarks/$name.py" "$@" ;;
  lock) lock ;;
  help | -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
