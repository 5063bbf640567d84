#!/usr/bin/env bash
# Lint, types and tests, in .venv (made where there is none).
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
echo "== mypy"
mypy
echo "== pytest"
pytest "$@"
