"""Writes small nets with the Keras at hand, and what they answer, for `test_saved_files.py`.

Run by `write.sh`, with one pinned Keras after the other; needs nothing of this project.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
if sys.argv[2:] == ["tf_keras"]:
    import tf_keras as keras
else:
    import keras

import numpy as np  # noqa: E402

layers = keras.layers


def sequential():
    return keras.Sequential(
        [
            layers.InputLayer(**{"input_shape" if keras.__version__ < "3" else "shape": (6, 6, 1)}),
            layers.Conv2D(3, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(
                4, activation="tanh", kernel_initializer=keras.initializers.HeNormal(seed=1)
            ),
            layers.Dense(2, kernel_regularizer=keras.regularizers.L2(1e-4)),
            layers.Softmax(),
        ]
    )


def functional():
    inputs = keras.Input((6, 6, 1))
    x = layers.ZeroPadding2D(1)(inputs)
    x = layers.Conv2D(3, 3, strides=2, use_bias=False)(x)
    x = layers.LeakyReLU()(x)
    y = layers.Conv2D(3, 1)(x)
    x = layers.Concatenate()([layers.Add()([x, y]), y])
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def batch_normalization():
    inputs = keras.Input((6, 6, 1))
    x = layers.BatchNormalization()(layers.Conv2D(3, 3)(inputs))
    x = layers.SeparableConv2D(3, 2)(layers.ReLU(max_value=6)(x))
    x = layers.BatchNormalization(scale=False)(layers.DepthwiseConv2D(2)(x))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))


def group_normalization():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 3),
            layers.GroupNormalization(groups=2),
            layers.Activation("elu"),
            layers.LayerNormalization(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


def nested():
    inputs = keras.Input((6, 6, 1))
    inner = keras.Input((6, 6, 2))
    block = keras.Model(
        inner, layers.BatchNormalization()(layers.Conv2D(2, 3)(inner)), name="block"
    )
    head = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Flatten(), layers.Dense(3), layers.Dense(2)], name="head"
    )
    return keras.Model(inputs, head(block(layers.Conv2D(2, 1)(inputs))))


def shared():
    inputs = keras.Input((6, 6, 1))
    conv, dense = layers.Conv2D(2, 3), layers.Dense(2, activation="sigmoid")
    one = dense(layers.Flatten()(conv(inputs)))
    other = dense(layers.Flatten()(conv(layers.Dropout(0.5)(inputs))))
    return keras.Model(inputs, layers.Dense(2)(layers.Subtract()([one, other])))


def dropout():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.SpatialDropout2D(0.3),
            layers.Conv2D(2, 3),
            layers.Dropout(0.4),
            layers.GaussianNoise(0.1),
            layers.Flatten(),
            layers.Dense(4),
            layers.Dropout(0.2),
            layers.Dense(2),
        ]
    )


NETS = [sequential, functional, batch_normalization, group_normalization, nested, shared, dropout]

if __name__ == "__main__":
    folder = sys.argv[1]
    os.makedirs(folder)
    for make in NETS:
        rng = np.random.default_rng(7)
        model = make()
        model.set_weights(
            [rng.uniform(0.1, 1, w.shape).astype(w.dtype) for w in model.get_weights()]
        )
        images = rng.random((2, 6, 6, 1), np.float32)
        outputs = np.asarray(model(images, training=False))
        for suffix in (".keras", ".h5"):
            path = os.path.join(folder, make.__name__ + suffix)
            try:
                model.save(path)
            except ValueError as error:  # Keras 3.0 names two datasets alike in some .h5 files
                os.unlink(path)
                print(f"not written: {path} ({str(error).splitlines()[0]})")
                continue
            assert os.path.getsize(path) < 100_000, (path, os.path.getsize(path))
        np.savez(os.path.join(folder, make.__name__ + ".npz"), images=images, outputs=outputs)
    print(folder, keras.__version__)
