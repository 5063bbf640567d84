#!/usr/bin/env bash
# Build the documentation; a warning is an error.
#   bash tools/dev/build_docs.sh [FOLDER]      (default: docs/_build)
set -euo pipefail
case "${1:-}" in
-h | --help)
    sed -n '2,3s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
folder=$(realpath -m "${1:-$(dirname "$0")/../../docs/_build}")
cd "$(dirname "$0")/../.."
source tools/dev/setup_venv.sh
PYTHONWARNINGS=ignore python -m sphinx --fail-on-warning --keep-going \
    --quiet -b html docs "$folder"
echo "the documentation is in $folder/index.html"
