"""Residual networks: ResNet-18, ResNet-20, and the model named ResNet-18 in the FLAP code."""

from __future__ import annotations

from tfunlearn.core.lazy import tf
from tfunlearn.models.blocks import Initializers, norm_layer, plain_keras
from tfunlearn.models.model import Model, NormSettings, built_by

FLAP_WEIGHT_DECAY = 1e-4


@plain_keras()
def resnet18(
    input_shape=(32, 32, 3), classes: int = 10, *, seed: int = 0, norm: str = "batch"
) -> tf.keras.Model:
    """Return ResNet-18 with the CIFAR stem (3x3, stride 1, no pooling); outputs logits.

    11,173,962 trainable parameters at 32x32x3 and 10 classes, and 9,600 moving statistics.

    Args:
        input_shape: `(height, width, channels)`; default 32x32x3.
        classes: number of outputs; default 10.
        seed: seed of the initial weights; default 0.
        norm: `"batch"` (default) or `"group"`.

    Reference:
        He et al., "Deep residual learning for image recognition", CVPR 2016 (arXiv 1512.03385).
    """
    inputs = tf.keras.Input(input_shape, name="images")
    net = _Net(Initializers(seed), norm, use_bias=False)
    x = net.conv(inputs, 64, 3, 1, "stem")
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        for block in (1, 2):
            stride = 2 if stage > 1 and block == 1 else 1
            x = net.block(x, filters, stride, f"stage{stage}_block{block}", shortcut_norm=True)
    return net.finish(
        inputs, tf.keras.layers.GlobalAveragePooling2D(name="pool")(x), classes, "resnet18"
    )


@plain_keras()
def resnet20(
    input_shape=(32, 32, 3), classes: int = 10, *, seed: int = 0, norm: str = "batch"
) -> tf.keras.Model:
    """Return the CIFAR ResNet-20 (16, 32, 64 filters, three blocks each); outputs logits.

    274,442 parameters at 32x32x3 and 10 classes, 273,066 of them trainable: convolutions with
    bias, 1x1 projections without normalization where the width changes.

    Args:
        input_shape: `(height, width, channels)`; default 32x32x3.
        classes: number of outputs; default 10.
        seed: seed of the initial weights; default 0.
        norm: `"batch"` (default) or `"group"`.

    Reference:
        He et al., "Deep residual learning for image recognition", CVPR 2016 (arXiv 1512.03385).
    """
    inputs = tf.keras.Input(input_shape, name="images")
    net = _Net(Initializers(seed), norm, use_bias=True)
    x = tf.keras.layers.GlobalAveragePooling2D(name="pool")(net.trunk20(inputs))
    return net.finish(inputs, x, classes, "resnet20")


@plain_keras()
def resnet18_flap(
    input_shape=(28, 28, 1), classes: int = 10, *, seed: int = 0, norm: str = "batch"
) -> tf.keras.Model:
    """Return the model named ResNet-18 in the FLAP code; outputs logits.

    It is the ResNet-20 trunk with weight decay 1e-4, average pooling over 4x4 and two hidden
    Dense layers: 324,330 parameters at 28x28x1 (322,954 trainable), 373,770 at 32x32x3.

    Args:
        input_shape: `(height, width, channels)`, at least 16x16; default 28x28x1.
        classes: number of outputs; default 10.
        seed: seed of the initial weights; default 0.
        norm: `"batch"` (default, as published) or `"group"`.

    Reference:
        The code published with Meng et al., "Enhancing Federated Learning Robustness using
        Data-Agnostic Model Pruning".
    """
    layers, initial = tf.keras.layers, Initializers(seed)
    decay = tf.keras.regularizers.L2(FLAP_WEIGHT_DECAY)
    inputs = tf.keras.Input(input_shape, name="images")
    net = _Net(initial, norm, use_bias=True, decay=decay)
    x = layers.AveragePooling2D(4, name="pool")(net.trunk20(inputs))
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate((256, 128), start=1):
        x = layers.Dense(
            units, activation="relu", name=f"dense_{number}", kernel_initializer=initial.he_normal()
        )(x)
    return net.finish(inputs, x, classes, "resnet18_flap")


class _Net:
    """Builder of residual blocks with the options in which the models of this module differ."""

    def __init__(self, initial: Initializers, norm: str, *, use_bias: bool, decay=None):
        self.initial, self.norm, self.use_bias, self.decay = initial, norm, use_bias, decay

    def plain_conv(self, x, filters: int, size: int, stride: int, name: str):
        return tf.keras.layers.Conv2D(
            filters,
            size,
            stride,
            padding="same",
            use_bias=self.use_bias,
            name=f"{name}_conv",
            kernel_initializer=self.initial.he_normal(),
            kernel_regularizer=self.decay,
        )(x)

    def conv(self, x, filters: int, size: int, stride: int, name: str, *, relu: bool = True):
        x = self.plain_conv(x, filters, size, stride, name)
        x = norm_layer(self.norm, f"{name}_norm", filters)(x)
        return tf.keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x

    def block(self, x, filters: int, stride: int, name: str, *, shortcut_norm: bool):
        shortcut = x
        x = self.conv(x, filters, 3, stride, f"{name}_1")
        x = self.conv(x, filters, 3, 1, f"{name}_2", relu=False)
        if stride > 1 or shortcut.shape[-1] != filters:
            project = self.conv if shortcut_norm else self.plain_conv
            options = {"relu": False} if shortcut_norm else {}
            shortcut = project(shortcut, filters, 1, stride, f"{name}_shortcut", **options)
        x = tf.keras.layers.Add(name=f"{name}_add")([shortcut, x])
        return tf.keras.layers.ReLU(name=f"{name}_relu")(x)

    def trunk20(self, inputs):
        x = self.conv(inputs, 16, 3, 1, "stem")
        for stage, filters in enumerate((16, 32, 64), start=1):
            for block in (1, 2, 3):
                stride = 2 if stage > 1 and block == 1 else 1
                x = self.block(
                    x, filters, stride, f"stage{stage}_block{block}", shortcut_norm=False
                )
        return x

    def finish(self, inputs, x, classes: int, name: str) -> tf.keras.Model:
        outputs = tf.keras.layers.Dense(
            classes, name="logits", kernel_initializer=self.initial.glorot_uniform()
        )(x)
        return tf.keras.Model(inputs, outputs, name=name)


RESNET18 = Model(
    name="resnet18",
    summary="ResNet-18 with the CIFAR stem",
    paper="He et al., CVPR 2016",
    settings=NormSettings,
    takes="images",
    build=built_by(resnet18),
    sizes=(11_182_410, 11_183_562),
)
RESNET20 = Model(
    name="resnet20",
    summary="ResNet-20 for 32x32 images",
    paper="He et al., CVPR 2016",
    settings=NormSettings,
    takes="images",
    build=built_by(resnet20),
    sizes=(274_154, 274_442),
)
RESNET18_FLAP = Model(
    name="resnet18-flap",
    summary="the model named ResNet-18 in FLAP's published code",
    paper="the published code of Meng et al.",
    settings=NormSettings,
    takes="images",
    build=built_by(resnet18_flap),
    sizes=(324_330, 373_770),
)
