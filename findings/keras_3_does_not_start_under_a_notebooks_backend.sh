#!/usr/bin/env bash
# tensorflow 2.21.0 with keras 3.15.1 and matplotlib 3.11.2, 2026-11-30.
# Guess: MPLBACKEND decides how figures are drawn; a program that draws none can ignore it.
# Seen: `import keras`, and so `import tensorflow`, imports matplotlib.pyplot where matplotlib is installed, and ends
# with "ValueError: Key backend: ... is not a valid value". Jupyter sets MPLBACKEND for every program that a cell
# starts; one with an environment of its own, without matplotlib_inline, then cannot even import TensorFlow. With a
# backend that matplotlib knows, or without matplotlib, it can.
# Needs python3.13 (or its path in PYTHON313). Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON313:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tensorflow==2.21.0" "keras==3.15.1" "matplotlib==3.11.2" 2> /dev/null
start() { MPLBACKEND=$1 "$folder/venv/bin/python" -c "import tensorflow; print('imported')" 2>&1 | tail -1 | cut -c1-110; }
notebook=module://matplotlib_inline.backend_inline
known=$(start agg)
refused=$(start $notebook) || true
"$folder/venv/bin/pip" uninstall -q -y matplotlib
without=$(start $notebook)
printf '%s\n' "agg: $known" "a notebook's: $refused" "a notebook's, without matplotlib: $without"
[ "$known $without" = "imported imported" ]
case "$refused" in ValueError:*"is not a valid value for backend"*) ;; *) exit 1 ;; esac
