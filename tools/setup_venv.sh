#!/usr/bin/env bash
# Make .venv with the pinned stack, where it is not there yet.
#   source tools/setup_venv.sh
# PYTHON  the interpreter; the pins are for 3.11 (default: python3)
# TORCH   another torch, e.g. TORCH='torch==2.8.0' with pip's own variable
#         PIP_INDEX_URL set to the index of a CUDA build
# A change of any of these, or of the requirements, installs anew.
set -euo pipefail

_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
_torch=${TORCH:-torch==2.13.0}
_stamp=$(cat "$_root"/tools/requirements*.txt "${BASH_SOURCE[0]}" |
    cksum)" $_torch ${PYTHON:-python3} ${PIP_INDEX_URL:-}"
if [ "$(cat "$_root/.venv/.complete" 2>/dev/null)" != "$_stamp" ]; then
    echo "Installing into .venv; this takes a few minutes and is done once."
    rm -f "$_root/.venv/.complete"
    [ -x "$_root/.venv/bin/python" ] ||
        "${PYTHON:-python3}" -m venv "$_root/.venv"
    _pip() { "$_root/.venv/bin/python" -m pip --disable-pip-version-check \
        install --quiet "$@"; }
    # Newer setuptools lack pkg_resources, which mmengine and mmcv import;
    # older ones are refused by torch.
    _pip 'setuptools>=77.0.3,<81' wheel
    _pip "$_torch" 'setuptools>=77.0.3,<81' -r "$_root/tools/requirements.txt"
    _pip --no-deps -r "$_root/tools/requirements-openmmlab.txt"
    _pip --no-deps --no-build-isolation mmcv-lite==2.1.0
    _pip --no-deps --no-build-isolation -e "$_root"
    echo "$_stamp" > "$_root/.venv/.complete"
fi
# shellcheck disable=SC1091
source "$_root/.venv/bin/activate"
