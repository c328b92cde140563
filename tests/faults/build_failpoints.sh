#!/bin/sh
# Builds the extension with failpoints and unpacks it into .make/failpoints, beside the ordinary build. The harness puts that
# directory first on PYTHONPATH (tests/faults/failpoints.py). Usage: tests/faults/build_failpoints.sh [PYTHON]
# PYTHON needs maturin. CARGO_TARGET_DIR is honoured; without it the build has a target directory of its own, because it is
# built without link-time optimisation.
set -eu
python=${1:-python3}
cd "$(dirname "$0")/../.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target/failpoints}"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
place=.make/failpoints
rm -rf "$place" "$place.wheel"
mkdir -p "$place"
"$python" -m maturin build --release --features python,failpoints --out "$place.wheel"
"$python" -m zipfile -e "$place.wheel"/*.whl "$place"
rm -rf "$place.wheel"
