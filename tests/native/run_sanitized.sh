#!/usr/bin/env bash
# Builds the kernels without Python, under AddressSanitizer and UndefinedBehaviorSanitizer, and runs
# all of them at odd shapes. Usage: run_sanitized.sh BUILD_FOLDER
set -euo pipefail
build=${1:?usage: run_sanitized.sh BUILD_FOLDER}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
generator=()
if command -v ninja > /dev/null; then generator=(-G Ninja); fi

cmake -S "$root" -B "$build" "${generator[@]}" -DDAART_FAST_PYTHON=OFF -DCMAKE_BUILD_TYPE=None \
  -DCMAKE_CXX_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -g1" > /dev/null
cmake --build "$build" --parallel "$(nproc)"
"$build/check_kernels"
"$build/check_blocks"
"$build/check_training"
"$build/check_online"
