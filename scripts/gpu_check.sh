#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: the tests that need one, then a real run in the background, its samples and its
# judgement. PYTHON chooses the interpreter; everything is written under a temporary folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-.venv/bin/python}
focus() { "$PYTHON" -m focus_tui "$@"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export FOCUS_EXPERIMENTS="$work/experiments" FOCUS_CACHE="$work/cache"

"$PYTHON" -m pytest -q -p no:cacheprovider tests/training/test_gpu.py
focus new on_gpu --template small --set training.num_epochs=4 --set training.sample_every=2 \
  --set data.simulations=12 --set data.grid=16 --set data.map_size=32
focus check on_gpu
focus start on_gpu --gpu "${GPU:-0}"
focus logs -f on_gpu
focus status on_gpu --json
focus sample on_gpu -n 8 --steps 20 -o "$work/maps.npz"
focus evaluate on_gpu --json | head -c 600
grep -h '"device_name"' "$FOCUS_EXPERIMENTS/on_gpu/logs/events.jsonl" | head -c 400
