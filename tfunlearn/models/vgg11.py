"""VGG11 for small images."""

from __future__ import annotations

from tfunlearn.core.lazy import tf
from tfunlearn.models.blocks import Initializers, norm_layer, plain_keras
from tfunlearn.models.model import Model, NormSettings, built_by

STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))


@plain_keras()
def vgg11(
    input_shape=(32, 32, 3), classes: int = 10, *, seed: int = 0, norm: str = "batch"
) -> tf.keras.Model:
    """Return VGG11 with normalization and one Dense layer; outputs logits.

    9,231,114 trainable parameters at 32x32x3 and 10 classes, and 5,504 moving statistics. Pooling
    rounds sizes up, so that 28x28 images can be halved five times.

    Args:
        input_shape: `(height, width, channels)`; default 32x32x3.
        classes: number of outputs; default 10.
        seed: seed of the initial weights; default 0.
        norm: `"batch"` (default) or `"group"`.

    Reference:
        Simonyan & Zisserman, "Very deep convolutional networks for large-scale image
        recognition", ICLR 2015 (arXiv 1409.1556).
    """
    layers, initial = tf.keras.layers, Initializers(seed)
    model = tf.keras.Sequential([layers.Input(input_shape, name="images")], name="vgg11")
    for stage, widths in enumerate(STAGES, start=1):
        for number, filters in enumerate(widths, start=1):
            name = f"stage{stage}_{number}"
            model.add(
                layers.Conv2D(
                    filters,
                    3,
                    padding="same",
                    name=f"{name}_conv",
                    kernel_initializer=initial.he_normal(),
                )
            )
            model.add(norm_layer(norm, f"{name}_norm", filters))
            model.add(layers.ReLU(name=f"{name}_relu"))
        model.add(layers.MaxPooling2D(2, padding="same", name=f"stage{stage}_pool"))
    model.add(layers.GlobalAveragePooling2D(name="pool"))
    model.add(layers.Dense(classes, name="logits", kernel_initializer=initial.glorot_uniform()))
    return model


VGG11 = Model(
    name="vgg11",
    summary="VGG11",
    paper="Simonyan & Zisserman, ICLR 2015, arXiv 1409.1556",
    settings=NormSettings,
    takes="images",
    build=built_by(vgg11),
    sizes=(9_235_466, 9_236_618),
)
