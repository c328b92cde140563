#!/bin/bash
# Stack traces and the fast path under other Pythons: `traceback` and `logging` differ in each version, so their differential tests run
# under every one that is installed (on PATH or in pyenv), on the same abi3 wheel. `make versions`, or with the interpreters to use as arguments.
#
# LOGSPOOL_EXAMPLES (1000) is how many random exceptions are compared.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LOGSPOOL_EXAMPLES=${LOGSPOOL_EXAMPLES:-1000}

tests=(tests/python/test_exceptions.py tests/python/test_exceptions_kept.py)
fast=(tests/python/test_fast_differential.py tests/python/test_fast_edges.py tests/python/test_fast_patches.py tests/python/test_fast_safety.py tests/python/test_fast_stdlib.py tests/python/test_noise_differential.py)
wheel=$(ls dist/logspool-*.whl)
# What these tests use; the other requirements do not matter here.
names=(pytest hypothesis opentelemetry-api opentelemetry-sdk)

# On 3.10 pytest brings `exceptiongroup`, which replaces functions of `traceback` unless somebody has set an excepthook. Both must hold.
unpatched='
import sys
sys.excepthook = lambda *error: None
try:
    import exceptiongroup
except ImportError:
    pass
sys.excepthook = sys.__excepthook__
import pytest
sys.exit(pytest.main(sys.argv[1:]))
'

found=0
for minor in 10 11 12 13 14 15; do
    version=3.$minor
    python=
    for candidate in "$@" "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
        if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$version" ]; then
            python=$candidate
        fi
    done
    if [ -z "$python" ]; then
        echo "== Python $version: not installed, not tried"
        continue
    fi
    found=$((found + 1))
    place=.make/versions/$version
    requirements=tests/requirements-$version.txt
    [ -f "$requirements" ] || requirements=tests/requirements.txt
    wanted=$(printf '%s\n' "${names[@]}" | cat - "$requirements")
    if [ "$wanted" != "$(cat "$place/requirements.txt" 2>/dev/null)" ]; then
        echo "== Python $version: installing ${names[*]}"
        rm -rf "$place"
        "$python" -m venv "$place"
        "$place/bin/python" -m pip install --quiet --constraint "$requirements" "${names[@]}"
        printf '%s\n' "$wanted" >"$place/requirements.txt"
    fi
    "$place/bin/python" -m pip install --quiet --force-reinstall --no-deps --no-index "$wheel"
    echo "== $("$place/bin/python" -VV)"
    "$place/bin/python" -m pytest -q "${tests[@]}"
    # The fast path reads marks of change that no stable ABI has.
    "$place/bin/python" -m pytest -q "${fast[@]}"
    if "$place/bin/python" -c 'import exceptiongroup' 2>/dev/null; then
        echo "== the same, with traceback as it came"
        "$place/bin/python" -c "$unpatched" -q "${tests[@]}"
    fi
done
if [ "$found" = 0 ]; then
    echo "no Python found: name one, as in tests/python/versions.sh /path/to/python3.12" >&2
    exit 1
fi
