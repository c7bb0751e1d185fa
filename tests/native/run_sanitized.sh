#!/usr/bin/env bash
# Builds the kernels and the Python module under AddressSanitizer and UndefinedBehaviorSanitizer;
# runs all kernels at odd shapes without Python, then the tests that call the module, and those
# that feed the readers broken files. It needs the package's dependencies and those of its tests.
# Usage: run_sanitized.sh BUILD_FOLDER
set -euo pipefail
build=${1:?usage: run_sanitized.sh BUILD_FOLDER}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
generator=()
if command -v ninja > /dev/null; then generator=(-G Ninja); fi

# a copy of the package, as the module of the checkout is for other runs
site=$build/site
rm -rf "$site"
mkdir -p "$site"
cp -r "$root/daart_fast" "$site"
rm -f "$site"/daart_fast/_*.so

DAART_FAST_NO_CUDA=1 cmake -S "$root" -B "$build" "${generator[@]}" -DDAART_FAST_CHECKS=ON \
  -DDAART_FAST_PACKAGE="$site/daart_fast" -DPython_EXECUTABLE="$(command -v python)" \
  -DCMAKE_BUILD_TYPE=None -DDAART_FAST_OPTIMISATION=-O1 \
  -DCMAKE_CXX_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -g1" > /dev/null
cmake --build "$build" --parallel "$(nproc)"
"$build/check_kernels"
"$build/check_blocks"
"$build/check_training"
"$build/check_online"

# Python leaves things at its end; some tests ask for what cannot be had
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:abort_on_error=1"
export UBSAN_OPTIONS="print_stacktrace=1:abort_on_error=1"
preload="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)"
# left out: what takes minutes here, what measures speed, and CUDA sources, which are built otherwise
cd "$root"
PYTHONPATH=$site LD_PRELOAD=$preload pytest -q --capture=sys -p no:cacheprovider \
  tests/ops tests/online tests/fuzz tests/readers tests/native/test_boundary.py \
  --ignore tests/ops/test_accuracy.py --ignore-glob '*/test_cuda*' \
  --deselect tests/online/test_segmenter.py::test_no_drift_over_ten_million_frames \
  --deselect \
  tests/ops/test_backends.py::test_every_instruction_set_is_as_fast_as_its_registers_are_wide
