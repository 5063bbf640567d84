#!/usr/bin/env bash
# Run lint, type checks and tests in .venv, created if missing.
#   bash tools/run_tests.sh [ARGUMENTS OF pytest]
# TEST_JOBS        processes of pytest, of one thread each (default: 2)
set -euo pipefail
case "${1:-}" in
-h | --help)
    sed -n '2,4s/^# \{0,1\}//p' "$0"
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
# More threads per process only compete; the tests of a file share fixtures.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
pytest --numprocesses "${TEST_JOBS:-2}" --dist loadfile "$@"
