#!/bin/sh
# Builds the wheel that users get, but with symbols, unpacks it into .make/profile, and counts the instructions of one call under
# valgrind's callgrind, by function. Counts are repeatable, where times are not. Usage: benches/profile.sh [PYTHON [ARGUMENTS]]
# PYTHON needs maturin; the measured process runs in LOGSPOOL_BENCH_PYTHON, else in PYTHON (it needs orjson and structlog).
# LOGSPOOL_PROFILE_BUILT=1 measures what an earlier call built.
set -eu
python=${1:-python3}
[ $# -gt 0 ] && shift
cd "$(dirname "$0")/.."
place=.make/profile
if [ -z "${LOGSPOOL_PROFILE_BUILT:-}" ]; then
    rm -rf "$place/package" "$place/wheel"
    mkdir -p "$place/package"
    CARGO_TARGET_DIR="$PWD/$place/target" CARGO_PROFILE_RELEASE_DEBUG=1 CARGO_PROFILE_RELEASE_STRIP=none \
        "$python" -m maturin build --release --locked --strip false --interpreter "$python" --out "$place/wheel"
    "$python" -m zipfile -e "$place"/wheel/*.whl "$place/package"
fi
exec "$python" benches/python/breakdown.py --package "$place/package" "$@"
