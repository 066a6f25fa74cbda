#!/usr/bin/env bash
# Reads the files of this folder with one pinned Keras after the other: the table of docs/model_files.md.
# Needs uv and the package registry; takes minutes. Not part of the tests, which read with the Keras in use.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

read_all() {  # name, whether tf.keras is to be tf_keras, requirements
    name=$1 legacy=$2
    shift 2
    uv venv -q -p python3.11 "$work/$name"
    uv pip install -q -p "$work/$name/bin/python" "$@" h5py click rich scipy scikit-learn
    PYTHONPATH=$root TF_USE_LEGACY_KERAS=$legacy "$work/$name/bin/python" table.py 2> /dev/null
}

read_all keras-2.14.0 0 tensorflow==2.14.1 keras==2.14.0 'numpy<2'
read_all keras-2.15.0 0 tensorflow==2.15.1 keras==2.15.0
read_all tf_keras-2.21.0 1 tensorflow==2.21.0 tf_keras==2.21.0
read_all keras-3.0.0 0 tensorflow==2.16.2 keras==3.0.0
read_all keras-3.15.1 0 tensorflow==2.21.0 keras==3.15.1
