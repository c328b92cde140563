#!/bin/sh
# Runs each fuzz target for FUZZ_SECONDS (60) and the same oracles under proptest with FUZZ_CASES cases (20,000).
# Usage: tests/fuzz/run.sh [TARGET…]. New inputs go to tests/fuzz/found/, not to the corpus that is committed.
set -eu
cd "$(dirname "$0")/../.."
seconds=${FUZZ_SECONDS:-60}
targets=${*:-ring_reader frame_parser state_reader segment_reader encoder compress}

PROPTEST_CASES=${FUZZ_CASES:-20000} cargo test --locked --release --features failpoints --test fuzz

if ! cargo +nightly --version >/dev/null 2>&1; then
	echo "fuzz: no nightly toolchain (rustup toolchain install nightly): only the property tests were run" >&2
	exit 0
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
	cargo install cargo-fuzz --locked || {
		echo "fuzz: cargo-fuzz could not be installed: only the property tests were run" >&2
		exit 0
	}
fi
for target in $targets; do
	mkdir -p "tests/fuzz/found/$target"
	echo "== fuzz: $target, $seconds s"
	cargo +nightly fuzz run --fuzz-dir tests/fuzz "$target" "tests/fuzz/found/$target" "tests/fuzz/corpus/$target" -- \
		-max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1
done
