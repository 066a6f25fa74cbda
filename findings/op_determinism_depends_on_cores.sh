#!/usr/bin/env bash
# tensorflow-cpu 2.14.1 (Linux, x86-64), 2026-11-29.
# Guess: with seeds set and enable_op_determinism(), training a small convolutional net on the CPU gives the
# same bits whatever the number of cores.
# Seen: one core and two cores end in different weights, with oneDNN's kernels (TF_ENABLE_ONEDNN_OPTS=1) and
# without them (=0): how sums are split over threads is not part of that determinism. The same number of cores
# repeats bit for bit. Whoever compares checksums of trained models has to pin the number of cores too.
# Needs two cores and taskset. Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tensorflow-cpu==2.14.1" "numpy==1.26.4"
cat > "$folder/train.py" <<'PY'
import hashlib
import numpy as np
import tensorflow as tf

tf.keras.utils.set_random_seed(0)
tf.config.experimental.enable_op_determinism()
rng = np.random.default_rng(0)
images, labels = rng.random((256, 28, 28, 1), np.float32), rng.integers(0, 10, 256)
model = tf.keras.Sequential([
    tf.keras.layers.Input((28, 28, 1)), tf.keras.layers.Conv2D(6, 5, activation="relu"),
    tf.keras.layers.MaxPooling2D(), tf.keras.layers.Conv2D(16, 5, activation="relu"),
    tf.keras.layers.Flatten(), tf.keras.layers.Dense(10)])
model.compile(tf.keras.optimizers.Adam(1e-3),
              tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(images, labels, batch_size=32, epochs=3, shuffle=False, verbose=0)
print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()[:16])
PY
run() { TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=$1 taskset -c "$2" "$folder/venv/bin/python" "$folder/train.py" 2> /dev/null; }
on_one=$(run 1 0) on_two=$(run 1 0,1) off_one=$(run 0 0) off_two=$(run 0 0,1)
echo "oneDNN on:  one core $on_one, two cores $on_two"
echo "oneDNN off: one core $off_one, two cores $off_two"
again=$(run 0 0,1)
echo "oneDNN off: two cores again $again"
[ "$on_one" != "$on_two" ] && [ "$off_one" != "$off_two" ] && [ "$again" = "$off_two" ]
