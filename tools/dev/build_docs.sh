#!/usr/bin/env bash
# Build the documentation; a warning is an error.
#   bash tools/dev/build_docs.sh [FOLDER]      (default: docs/_build)
# It uses the environment in which Sphinx and its extensions (the extra "docs")
# and this package can be imported, else it installs .venv.
set -euo pipefail
case "${1:-}" in
-h | --help)
    sed -n '2,5s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
folder=$(realpath -m "${1:-$(dirname "$0")/../../docs/_build}")
cd "$(dirname "$0")/../.."
needed='furo, myst_parser, sphinx, sphinx_copybutton, sphinx_design'
if ! PYTHONPATH=. python -W ignore -c "import $needed, swahr_mmpose" 2>/dev/null
then
    source tools/dev/setup_venv.sh
fi
PYTHONPATH=. PYTHONWARNINGS=ignore python -m sphinx --fail-on-warning --keep-going \
    --quiet -b html docs "$folder"
echo "the documentation is in $folder/index.html"
