#!/usr/bin/env bash
# Keras 2.13.1, 2.14.0, 2.15.0 (with TensorFlow 2.13.1, 2.14.1, 2.15.1; Linux, x86-64), 2026-11-30.
# Guess: a .keras file that Keras 2.13 or 2.14 has written is read by the next release of Keras 2.
# Seen: a net of one convolution and two Dense layers, saved in the .keras format, is read by the release that
# wrote it alone. 2.14 finds no variables for the second Dense layer in a file of 2.13, 2.15 none for any layer
# in files of 2.13 and 2.14: the names under which the archive keeps the weights have changed twice, the file's
# configuration has not. The same model as .h5 is read by all later ones. Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/write.py" <<'PY'
import sys
import tensorflow as tf

layers = tf.keras.layers
model = tf.keras.Sequential([layers.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(),
                             layers.Dense(4), layers.Dropout(0.1), layers.Dense(2)])
for suffix in ("keras", "h5"):
    model.save(f"{sys.argv[1]}.{suffix}")
PY
cat > "$folder/read.py" <<'PY'
import sys
import tensorflow as tf

for path in sys.argv[1:]:
    try:
        tf.keras.models.load_model(path, compile=False)
        print("read")
    except ValueError as error:
        print("refused" if "received 0 variables" in str(error) else repr(error))
PY
for version in 2.13.1 2.14.1 2.15.1; do
    python3.11 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q "tensorflow-cpu==$version" "numpy<2"
    TF_CPP_MIN_LOG_LEVEL=3 "$folder/$version/bin/python" "$folder/write.py" "$folder/$version" 2> /dev/null
done
for pair in 2.13.1:2.14.1 2.13.1:2.15.1 2.14.1:2.15.1 2.15.1:2.15.1; do
    writer=${pair%:*} reader=${pair#*:}
    seen=$(TF_CPP_MIN_LOG_LEVEL=3 "$folder/$reader/bin/python" "$folder/read.py" "$folder/$writer.keras" \
        "$folder/$writer.h5" 2> /dev/null | xargs)
    echo "TensorFlow $reader on files of $writer (.keras, .h5): $seen"
    expected="refused read"
    [ "$writer" = "$reader" ] && expected="read read"
    [ "$seen" = "$expected" ]
done
