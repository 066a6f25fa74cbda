#!/usr/bin/env bash
# tensorflow-cpu 2.14.1 (Keras 2.14) and tensorflow-cpu 2.20.0 with Keras 3.15.1 (Linux, x86-64), 2026-11-30.
# Guess: one step of BatchNormalization in training mode gives the same moving variance in both.
# Seen: for 4-D input, Keras 2 averages n / (n - 1) times the variance of the batch (its fused kernel corrects for
# the sample), Keras 3 the variance itself; n is the number of values per channel. For 2-D input both take the
# variance itself. With 2 images of 1x1 the moving variances differ by a factor of two; models trained on small
# batches of small maps move apart from the first step on. The outputs of the step agree.
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/norm.py" <<'PY'
import numpy as np
import tensorflow as tf

for shape in ((2, 1, 1, 1), (2, 1)):
    norm = tf.keras.layers.BatchNormalization(momentum=0.0)
    x = np.array([1.0, 3.0], np.float32).reshape(shape)  # variance 1, corrected 2
    norm(x, training=True)
    print(len(shape), round(float(np.asarray(norm.moving_variance)[0]), 4))
PY
run() {
    python3.11 -m venv "$folder/$1"
    "$folder/$1/bin/pip" install -q "${@:2}" 2> /dev/null
    TF_CPP_MIN_LOG_LEVEL=3 "$folder/$1/bin/python" "$folder/norm.py" 2> /dev/null | tr '\n' ' '
}
keras2=$(run keras2 "tensorflow-cpu==2.14.1" "numpy==1.26.4")
keras3=$(run keras3 "tensorflow-cpu==2.20.0" "keras==3.15.1" "numpy==2.2.6")
echo "Keras 2 (dimensions, moving variance): $keras2"
echo "Keras 3 (dimensions, moving variance): $keras3"
[ "$keras2" = "4 2.0 2 1.0 " ] && [ "$keras3" = "4 1.0 2 1.0 " ]
