#!/usr/bin/env bash
# TensorFlow 2.14.1 with Keras 2.14.0, and TensorFlow 2.21.0 with Keras 3.15.1 (Linux, x86-64), 2026-11-30.
# Guess: model.fit on a tf.data.Dataset of unknown length (from_generator) takes as many optimizer steps as
# there are batches, and trains the same weights as on the same arrays.
# Seen: optimizer.iterations is one more where an epoch of unknown length ends (3 batches, 2 epochs: 7 under
# Keras 2, which knows the length from the second epoch on; 8 under Keras 3, which does not), and with Adam,
# whose step sizes depend on that count, the weights after the second epoch differ. Schedules that count
# optimizer steps (learning rates, pruning) drift by one an epoch. Data of known length
# (dataset.apply(assert_cardinality)) count right. Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/steps.py" <<'PY'
import numpy as np
import tensorflow as tf

keras, layers = tf.keras, tf.keras.layers
x, y = np.random.default_rng(0).random((48, 8), np.float32), np.arange(48) % 4


def batches():
    for first in range(0, 48, 16):
        yield x[first : first + 16], y[first : first + 16]


def trained(data, **options):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([layers.Input((8,)), layers.Dense(4)])
    model.compile(keras.optimizers.Adam(0.01),
                  keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*data, epochs=2, shuffle=False, verbose=0, **options)
    return model


unknown = tf.data.Dataset.from_generator(batches, output_signature=(
    tf.TensorSpec((16, 8)), tf.TensorSpec((16,), tf.int64)))
models = [trained((x, y), batch_size=16), trained((unknown,)),
          trained((unknown.apply(tf.data.experimental.assert_cardinality(3)),))]
steps = [int(model.optimizer.iterations.numpy()) for model in models]
gaps = [float(np.abs(model.get_weights()[0] - models[0].get_weights()[0]).max()) for model in models]
print(*steps, *(f"{gap:.1e}" for gap in gaps))
PY
run() {  # name, what is expected, requirements
    name=$1 expected=$2
    shift 2
    python3.11 -m venv "$folder/$name"
    "$folder/$name/bin/pip" install -q "$@"
    seen=$(TF_CPP_MIN_LOG_LEVEL=3 "$folder/$name/bin/python" "$folder/steps.py" 2> /dev/null)
    echo "$name: steps on arrays, on data of unknown length, of known length; largest gaps of weights: $seen"
    read -r arrays unknown known _ gap same <<< "$seen"
    [ "$arrays $unknown $known" = "$expected" ] && [ "$gap" != 0.0e+00 ] && [ "$same" = 0.0e+00 ]
}
run keras2 "6 7 6" tensorflow-cpu==2.14.1 "numpy==1.26.4"
run keras3 "6 8 6" tensorflow==2.21.0 keras==3.15.1
