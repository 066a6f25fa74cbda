#!/usr/bin/env bash
# Writes the files of this folder anew: one folder for each Keras that writes, pinned, by `write.py`.
# Needs uv and the package registry; takes minutes. Not part of the tests, which read what lies here.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

write() {  # folder, name of the Keras package, requirements
    folder=$1 package=$2
    shift 2
    uv venv -q -p python3.11 "$work/$folder"
    uv pip install -q -p "$work/$folder/bin/python" "$@"
    rm -rf "$folder"
    "$work/$folder/bin/python" write.py "$folder" "$package" 2> /dev/null
}

write keras-2.13.1 keras tensorflow==2.13.1
write keras-2.14.0 keras tensorflow==2.14.1 keras==2.14.0 'numpy<2'
write keras-2.15.0 keras tensorflow==2.15.1 keras==2.15.0
write tf_keras-2.16.0 tf_keras tensorflow==2.16.2 tf_keras==2.16.0
write tf_keras-2.21.0 tf_keras tensorflow==2.21.0 tf_keras==2.21.0
write keras-3.0.0 keras tensorflow==2.16.2 keras==3.0.0
write keras-3.15.1 keras tensorflow==2.21.0 keras==3.15.1
