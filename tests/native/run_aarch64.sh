#!/usr/bin/env bash
# Cross-compiles the kernels for 64-bit ARM and runs all native checks under qemu, on NEON and on
# plain C++, with fewer shapes than on a processor. Skipped, with the reason, where the compiler or
# qemu is missing. Debian, Ubuntu: apt install g++-aarch64-linux-gnu qemu-user-static.
# Usage: run_aarch64.sh BUILD_FOLDER
#        run_aarch64.sh BUILD_FOLDER count    instructions of one convolution, by set and pass
set -euo pipefail
build=${1:?usage: run_aarch64.sh BUILD_FOLDER [count]}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
generator=()
if command -v ninja > /dev/null; then generator=(-G Ninja); fi

compiler=aarch64-linux-gnu-g++
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu  # where its libraries lie
if ! command -v "$compiler" > /dev/null; then echo "skipped: there is no $compiler"; exit 0; fi
if [[ -z $qemu ]]; then echo "skipped: there is no qemu-aarch64"; exit 0; fi

cmake -S "$root" -B "$build" "${generator[@]}" -DDAART_FAST_PYTHON=OFF -DDAART_FAST_CHECKS=ON \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_BUILD_TYPE=Release > /dev/null
cmake --build "$build" --parallel "$(nproc)"

# qemu logs a line for each instruction
instructions() {
  "$qemu" -singlestep -d exec,nochain -D /dev/stdout "$build/count_calls" "$@" | wc -l
}

if [[ ${2:-} == count ]]; then
  for method in direct filtered; do
    for pass in forward input weight; do
      counts=()
      for isa in generic neon; do
        one=$(instructions "$isa" "$method" "$pass" 1)
        two=$(instructions "$isa" "$method" "$pass" 2)
        counts+=($((two - one)))
      done
      printf '%s %s: plain %d, neon %d\n' "$method" "$pass" "${counts[@]}"
    done
  done
  exit 0
fi

"$qemu" "$build/check_kernels" 8
"$qemu" "$build/check_blocks" 8
"$qemu" "$build/check_training" 8
"$qemu" "$build/check_online"
