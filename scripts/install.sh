#!/usr/bin/env bash
# Install comfynb and its agent, editable, into a virtual environment, and make that where it is missing.
# Usage: scripts/install.sh VENV [GROUP]    (GROUP is a dependency group of pyproject.toml)
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 group=${2:-}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "comfynb needs Python 3.11 or newer: install it, or name it as in 'make demo PYTHON=/path/to/python'" >&2
    return 1
}

if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    python=$(find_python)
    echo "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

echo "installing comfynb${group:+ and its group $group} into $venv"
what=(--editable . --editable ./agent ${group:+--group "$group"})
pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet)

# uv takes seconds where pip takes a minute, but it does not read pip's configuration: where the
# registry is reached through that, pip does the work.
if "${pip[@]}" install 'uv>=0.8' &&
    "$venv/bin/python" -m uv pip install --quiet --python "$venv/bin/python" "${what[@]}"; then
    exit 0
fi
echo "uv could not install it: trying pip"
# Python 3.11 brings a pip that knows no dependency groups; 25.1 is the first that does.
"${pip[@]}" install --upgrade 'pip>=25.1'
"${pip[@]}" install "${what[@]}"
