#!/bin/sh
# The locked Python environment: uv in .tools, everything else in .venv. Quick when nothing changed.
set -eu
cd "$(dirname "$0")"
uv_version=0.13.9
stamp=.venv/.locked

if [ -e "$stamp" ] && cmp -s "$stamp" uv.lock; then
    exit 0
fi

python=
for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "bootstrap: no Python 3.11 or later on PATH (Debian 12: apt-get install python3 python3-venv)" >&2
    exit 2
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "${LAB_APT:-yes}" = no ] || [ "$(id -u)" != 0 ]; then
        echo "bootstrap: $python has no venv module; as root: apt-get update && apt-get install -y python3-venv" >&2
        exit 2
    fi
    echo "Installing system packages with apt: python3-venv"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3-venv >/dev/null
fi

if ! .tools/bin/uv --version 2>/dev/null | grep -q "^uv $uv_version "; then
    echo "Installing uv $uv_version into .tools"
    "$python" -m venv --clear .tools
    .tools/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi

echo "Installing the locked environment into .venv"
UV_PYTHON_DOWNLOADS=never .tools/bin/uv sync --quiet --locked --compile-bytecode --python "$python"
cp uv.lock "$stamp"
