#!/usr/bin/env bash
# Create .venv with the pinned versions if it is missing, and activate it.
# Sourced by scripts; it sets the shell to stop at errors.
# PYTHON           interpreter, version 3.11 (default: python3)
# TORCH            another torch, e.g. TORCH=torch==2.8.0
# TORCH_INDEX_URL  index of a CUDA or CPU build of torch: the URL on the
#                  installation page of PyTorch (default: that of pip)
# A variable that is not set keeps the value with which .venv was made; another
# value creates .venv again. A change of the requirements or of setup.py updates
# it in place, so that a shell or a training that uses it goes on.
set -euo pipefail
if [ "${BASH_SOURCE[0]}" = "$0" ] && [ $# -gt 0 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    case "$1" in
    -h | --help) exit 0 ;;
    esac
    echo "error: got the argument $1, expected none; set variables instead" >&2
    exit 2
fi

_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
_sum=$(cat "$_root"/requirements/pinned*.txt "$_root/setup.py" \
    "${BASH_SOURCE[0]}" | cksum)
_pip() {
    "$_root/.venv/bin/python" -m pip --disable-pip-version-check \
        install --quiet "$@"
}
# A second script waits for the first.
exec 9> "$_root/.venv.lock"
if command -v flock > /dev/null; then flock 9; fi
# A complete .venv has a file of the checksum and the variables, a line each.
_old_sum='' _old_python='' _old_torch='' _old_index=''
if [ -f "$_root/.venv/.complete" ]; then
    {
        read -r _old_sum
        read -r _old_python
        read -r _old_torch
        read -r _old_index
    } < "$_root/.venv/.complete" || true # of fewer lines
fi
# Earlier versions wrote all in one line, the defaults too.
if [ -n "$_old_sum" ] && [ "$(wc -l < "$_root/.venv/.complete")" -eq 1 ]; then
    read -r _old_sum _old_size _old_python _old_torch _old_index \
        <<< "$_old_sum"
    _old_sum="$_old_sum $_old_size"
    [ "$_old_python" != python3 ] || _old_python=''
    [ "$_old_torch" != torch==2.13.0 ] || _old_torch=''
fi
_set_python=${PYTHON:-$_old_python}
_set_torch=${TORCH:-$_old_torch}
_set_index=${TORCH_INDEX_URL:-$_old_index}
_make_venv() {
    local python=${_set_python:-python3} version
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$version" != 3.11 ]; then
        echo "The pinned versions are for Python 3.11, but $python is" \
            "$version. Set PYTHON=/path/to/python3.11." >&2
        exit 1
    fi
    echo "Installing into .venv; this takes a few minutes and is done once."
    "$python" -m venv --clear "$_root/.venv"
}
_same=false
if [ -n "$_old_sum" ] \
    && [ "$_set_python" = "$_old_python" ] \
    && [ "$_set_torch" = "$_old_torch" ] \
    && [ "$_set_index" = "$_old_index" ] \
    && "$_root/.venv/bin/python" -c '' 2> /dev/null; then
    _same=true
fi
if [ "$_same" = false ] || [ "$_sum" != "$_old_sum" ]; then
    if [ "$_same" = true ]; then
        echo "Updating .venv, whose requirements have changed."
    else
        _make_venv
    fi
    # Newer setuptools lack pkg_resources, which mmengine and mmcv import;
    # older ones are refused by torch.
    _pip 'setuptools>=77.0.3,<81' wheel
    _pip "${_set_torch:-torch==2.13.0}" 'setuptools>=77.0.3,<81' \
        ${_set_index:+--extra-index-url "$_set_index"}
    _pip -r "$_root/requirements/pinned.txt"
    _pip --no-deps -r "$_root/requirements/pinned-openmmlab.txt"
    _pip --no-deps --no-build-isolation mmcv-lite==2.1.0
    _pip --no-deps --no-build-isolation -e "$_root"
    printf '%s\n' "$_sum" "$_set_python" "$_set_torch" "$_set_index" \
        > "$_root/.venv/.complete"
fi
exec 9>&-
# shellcheck disable=SC1091
source "$_root/.venv/bin/activate"
