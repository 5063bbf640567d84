#!/usr/bin/env bash
# Create .venv with the pinned versions if it is missing, and activate it.
# Sourced by scripts; it sets the shell to stop at errors.
# PYTHON           interpreter, version 3.11 (default: python3)
# TORCH            another torch, e.g. TORCH=torch==2.8.0
# TORCH_INDEX_URL  index of a CUDA or CPU build of torch: the URL on the
#                  installation page of PyTorch (default: that of pip)
# A change of any of these, of the requirements or of setup.py creates .venv
# again.
set -euo pipefail
if [ "${BASH_SOURCE[0]}" = "$0" ] && [ $# -gt 0 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    case "$1" in
    -h | --help) exit 0 ;;
    esac
    echo "error: got the argument $1, expected none; set variables instead" >&2
    exit 2
fi

_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
_python=${PYTHON:-python3}
_torch=${TORCH:-torch==2.13.0}
_stamp="$(cat "$_root"/requirements/pinned*.txt "$_root/setup.py" "${BASH_SOURCE[0]}" | cksum) \
$_python $_torch ${TORCH_INDEX_URL:-}"
_pip() {
    "$_root/.venv/bin/python" -m pip --disable-pip-version-check \
        install --quiet "$@"
}
# A second script waits for the first.
exec 9> "$_root/.venv.lock"
if command -v flock > /dev/null; then flock 9; fi
if [ "$(cat "$_root/.venv/.complete" 2>/dev/null)" != "$_stamp" ]; then
    _version=$("$_python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$_version" != 3.11 ]; then
        echo "The pinned versions are for Python 3.11, but $_python is" \
            "$_version. Set PYTHON=/path/to/python3.11." >&2
        exit 1
    fi
    echo "Installing into .venv; this takes a few minutes and is done once."
    "$_python" -m venv --clear "$_root/.venv"
    # Newer setuptools lack pkg_resources, which mmengine and mmcv import;
    # older ones are refused by torch.
    _pip 'setuptools>=77.0.3,<81' wheel
    _pip "$_torch" 'setuptools>=77.0.3,<81' \
        ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"}
    _pip -r "$_root/requirements/pinned.txt"
    _pip --no-deps -r "$_root/requirements/pinned-openmmlab.txt"
    _pip --no-deps --no-build-isolation mmcv-lite==2.1.0
    _pip --no-deps --no-build-isolation -e "$_root"
    echo "$_stamp" > "$_root/.venv/.complete"
fi
exec 9>&-
# shellcheck disable=SC1091
source "$_root/.venv/bin/activate"
