#!/usr/bin/env bash
# tensorflow-federated releases for pip 25.3 on Python 3.12 (Linux, x86-64), 2026-11-30.
# Guess: on a Python that no current release supports, pip refuses, or takes the newest release, 0.87.0.
# Seen: pip takes 0.33.0 of 2022 without a word. Releases up to then have a wheel for any Python (py2.py3-none-any)
# and do not name the Pythons they need, so that pip believes that they fit; later wheels are for one Python each.
# `pip install tensorflow-federated` in a tutorial thus means another library there, and a program that only asks
# whether `tensorflow_federated` can be imported takes it for the one it knows.
# Needs python3.12 (or its path in PYTHON312). Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON312:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "pip==25.3" 2> /dev/null
found=$("$folder/venv/bin/pip" install --dry-run --no-deps tensorflow-federated 2> /dev/null | tail -1)
echo "$found"
[ "$found" = "Would install tensorflow-federated-0.33.0" ]
