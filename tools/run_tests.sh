#!/usr/bin/env bash
# Run lint, type checks and tests in .venv, created if missing.
#   bash tools/run_tests.sh [ARGUMENTS OF pytest]
set -euo pipefail
case "${1:-}" in
-h | --help)
    sed -n '2,3s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.."
source tools/dev/setup_venv.sh
echo "== ruff"
ruff check .
ruff format --check .
echo "== import-linter"
lint-imports --no-logo
echo "== wording"
python tools/dev/check_prose.py
echo "== mypy"
mypy
echo "== pytest"
pytest "$@"
