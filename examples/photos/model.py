"""A nested model: MobileNetV2 without weights from elsewhere, and a new head."""

from tensorflow import keras


def build(input_shape, classes, *, seed, width=0.35):
    """MobileNetV2 inside another model."""
    keras.utils.set_random_seed(seed)
    body = keras.applications.MobileNetV2(
        input_shape=input_shape, weights=None, include_top=False, alpha=width
    )
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # moving statistics follow within a few rounds; Keras has 0.999
    image = keras.Input(input_shape)
    scaled = keras.layers.Rescaling(2.0, offset=-1.0)(image)  # from 0..1 to -1..1
    pooled = keras.layers.GlobalAveragePooling2D()(body(scaled))
    return keras.Model(image, keras.layers.Dense(classes)(pooled))
