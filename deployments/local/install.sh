#!/bin/sh
# Make the environment .venv from the pinned requirements; nothing to do when it is already that.
#
#   PYTHON       interpreter to build it with; default: the first of python3, python3.11, python3.12 that fits
#   TORCH_INDEX  package index that torch alone is taken from, such as https://download.pytorch.org/whl/cpu
#
# An interrupted run is taken up by the next one: the stamp is written last, and what pip has done stays.
set -eu
cd "$(dirname "$0")/../.."

requirements=deployments/requirements.txt
stamp=.venv/installed
state="$(cat "$requirements" pyproject.toml | cksum) $PWD"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; then
    exit 0
fi

fits() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.11 python3.12}; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    {
        echo "Python 3.11 or 3.12 with its modules venv and ensurepip is needed, and none of these is one:"
        for candidate in ${PYTHON:-python3 python3.11 python3.12}; do
            echo "  $candidate: $("$candidate" --version 2>&1 | head -n 1 || true)"
        done
        echo "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv), or name one you have:"
        echo "  make environment PYTHON=/path/to/python3.11"
    } >&2
    exit 1
}

# A half-made environment has no pip, and one that was moved here still points to where it was made.
if ! { fits .venv/bin/python && .venv/bin/python -m pip --version && grep -qF "$PWD/.venv" .venv/bin/activate; } \
    >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version) ..."
    "$python" -m venv --clear .venv
fi
rm -f "$stamp"

pip() {
    .venv/bin/python -m pip --disable-pip-version-check "$@"
}

echo "Installing the pinned requirements; the first time this takes some minutes ..."
if [ -n "${TORCH_INDEX:-}" ]; then
    # Without its dependencies: they are pinned below. A local version such as 2.13.0+cpu satisfies the pin there.
    pip install --no-deps --index-url "$TORCH_INDEX" "$(grep '^torch==' "$requirements")"
fi
pip install --quiet --requirement "$requirements"
pip install --quiet --no-deps --no-build-isolation --editable .
echo "$state" >"$stamp"
echo "The environment .venv is ready."
