#!/usr/bin/env bash
# Trains this experiment in the foreground (Ctrl-C stops it after a checkpoint). Works from any folder.
#
#   CONFIG   the config to train with        [config.yaml beside this script]
#   EXP_DIR  where checkpoints and logs go   [the folder of this script]
#   PYTHON   the interpreter to use          [the one that the command `focus` belongs to]
#
# Further options go to `focus train`.
set -euo pipefail

here="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
config="${CONFIG:-$here/config.yaml}"
exp_dir="${EXP_DIR:-$here}"

if [[ -n "${PYTHON:-}" ]]; then
  focus=("$PYTHON" -m focus_tui)
elif command -v focus >/dev/null; then
  focus=(focus)
else
  echo "run_model.sh: the command focus is not on PATH: activate its environment, or set PYTHON" >&2
  exit 2
fi

exec "${focus[@]}" train --config "$config" --exp_dir "$exp_dir" "$@"
