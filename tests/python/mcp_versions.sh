#!/bin/bash
# `logspool.mcp` with the SDKs that the other tests do not have: version 1 of the official one, and fastmcp. `make mcp-versions`.
#
# The first argument is the interpreter to make environments with.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:-python3}
wheel=$(ls dist/logspool-*.whl)

try() {
    local kinds=$1 name
    shift
    name=${1//==/-}
    local place=.make/mcp/$name
    if [ "$(cat "$place/requirements.txt" 2>/dev/null)" != "$*" ]; then
        echo "== installing $*"
        rm -rf "$place"
        "$python" -m venv "$place"
        "$place/bin/python" -m pip install --quiet "$@"
        echo "$*" >"$place/requirements.txt"
    fi
    "$place/bin/python" -m pip install --quiet --force-reinstall --no-deps --no-index "$wheel"
    for kind in $kinds; do
        echo "== $* ($kind)"
        rm -rf "$place/run"
        mkdir "$place/run"
        "$place/bin/python" tests/python/check_mcp.py "$kind" "$place/run"
    done
}

mkdir -p .make/mcp
try "mcp mcp-low" mcp==1.30.0 rich==15.0.0
# The next release of pydantic took away what this one imports.
try "mcp mcp-low" mcp==1.20.0 pydantic==2.11.10
try fastmcp fastmcp==4.0.11
try fastmcp fastmcp==3.4.0
