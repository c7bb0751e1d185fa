#!/usr/bin/env bash
# Builds the kernels without Python, with clang's ThreadSanitizer and LLVM's OpenMP, whose tool
# Archer tells the sanitizer of each fork, join and barrier; runs them with several threads.
# Debian, Ubuntu: apt install clang libomp-dev. Usage: run_thread_sanitized.sh BUILD_FOLDER
set -euo pipefail
build=${1:?usage: run_thread_sanitized.sh BUILD_FOLDER}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
generator=()
if command -v ninja > /dev/null; then generator=(-G Ninja); fi

resources=$(clang++ --print-resource-dir)
archer=$(find "$resources/../../.." -name libarcher.so -print -quit)
if [[ -z $archer ]]; then
  echo "there is no libarcher.so beside clang ($resources): without it every barrier is a race" >&2
  exit 1
fi

cmake -S "$root" -B "$build" "${generator[@]}" -DDAART_FAST_PYTHON=OFF \
  -DDAART_FAST_CHECKS=ON -DCMAKE_BUILD_TYPE=None \
  -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_CXX_FLAGS="-fsanitize=thread -g1 -O1" > /dev/null
# the online engine runs in one thread, and its check has an operator new of its own
cmake --build "$build" --parallel "$(nproc)" --target check_kernels check_blocks

export OMP_TOOL_LIBRARIES=$archer OMP_NUM_THREADS=3
# libomp itself is not instrumented
export TSAN_OPTIONS="ignore_noninstrumented_modules=1 halt_on_error=1 ${TSAN_OPTIONS:-}"
"$build/check_kernels"
"$build/check_blocks"
