#!/usr/bin/env bash
# What one GPU should show in eight minutes, in order of value: benchmarks/gpu.py. Resumable: repeat the command and what
# is in the file is not measured again.
#
#     benchmarks/gpu.sh [--minutes 8] [--out runs/gpu.jsonl] [--tiny]
#
# --tiny runs all of it on a CPU with small networks and sizes, to know that it works; its figures mean nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python}" benchmarks/gpu.py "$@"
