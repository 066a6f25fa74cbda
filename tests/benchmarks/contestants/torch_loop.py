"""The same clients in PyTorch: a loop over clients, or LeNet-5 with ten clients at once by torch.func.vmap.

Usage: torch_loop.py loop|vmap MODEL CLIENTS. No federation, attack or defense; the mean of the updates at the end.
"""

from __future__ import annotations

import copy
import sys

import numpy as np
import torch
from protocol import BATCH, EPOCHS, EXAMPLES, RATE, examples, serve
from torch import nn
from torch.nn import functional

way, name, clients = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.manual_seed(0)


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_1, self.conv_2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.dense_1, self.dense_2 = nn.Linear(256, 120), nn.Linear(120, 84)
        self.logits = nn.Linear(84, 10)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv_1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv_2(x)), 2)
        x = functional.relu(self.dense_1(x.flatten(1)))
        return self.logits(functional.relu(self.dense_2(x)))


class Block(nn.Module):
    """Two 3x3 convolutions with BatchNormalization; the shortcut is a 1x1 convolution or padding."""

    def __init__(self, before, after, stride, padded):
        super().__init__()
        self.conv_1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv_2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm_1, self.norm_2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.stride, self.missing = stride, after - before
        changes = (stride > 1 or before != after) and not padded
        self.shortcut = (
            nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            if changes
            else None
        )

    def forward(self, x):
        y = functional.relu(self.norm_1(self.conv_1(x)))
        y = self.norm_2(self.conv_2(y))
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.missing or self.stride > 1:
            x = functional.pad(
                x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing)
            )
        return functional.relu(x + y)


def resnet(widths, depth, padded):
    layers, before = (
        [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()],
        widths[0],
    )
    for stage, width in enumerate(widths):
        for place in range(depth):
            layers.append(Block(before, width, 2 if stage and not place else 1, padded))
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


MODELS = {
    "lenet5": (LeNet5, (28, 28, 1)),
    "resnet20": (lambda: resnet((16, 32, 64), 3, True), (32, 32, 3)),
    "resnet18": (lambda: resnet((64, 128, 256, 512), 2, False), (32, 32, 3)),
}
build, shape = MODELS[name]
images, labels = examples(clients, shape)
x = torch.from_numpy(images.astype(np.float32) / 255).permute(0, 3, 1, 2)
x = x.contiguous(memory_format=torch.channels_last)
y = torch.from_numpy(labels.astype(np.int64))
model = build().to(memory_format=torch.channels_last)
rng = np.random.default_rng(1)


def loop_round() -> None:
    start = copy.deepcopy(model.state_dict())
    total = {key: torch.zeros_like(value, dtype=torch.float32) for key, value in start.items()}
    for client in range(clients):
        model.load_state_dict(start)
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
        for _ in range(EPOCHS):
            order = client * EXAMPLES + rng.permutation(EXAMPLES)
            for first in range(0, EXAMPLES, BATCH):
                rows = torch.from_numpy(order[first : first + BATCH])
                optimizer.zero_grad(set_to_none=True)
                functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
        for key, value in model.state_dict().items():
            total[key] += (value - start[key]) / clients
    model.load_state_dict({key: start[key] + total[key] for key in start})


def vmap_round(at_once: int = 10) -> None:
    start = {key: value.detach() for key, value in model.named_parameters()}

    def loss(weights, images, labels):
        return functional.cross_entropy(torch.func.functional_call(model, weights, images), labels)

    slope, total = torch.func.vmap(torch.func.grad(loss)), {k: 0.0 for k in start}
    for first_client in range(0, clients, at_once):
        group = range(first_client, first_client + at_once)
        weights = {k: v.expand(at_once, *v.shape).clone() for k, v in start.items()}
        first, second = ({k: torch.zeros_like(v) for k, v in weights.items()} for _ in range(2))
        step = 0
        for _ in range(EPOCHS):
            order = np.stack([client * EXAMPLES + rng.permutation(EXAMPLES) for client in group])
            for begin in range(0, EXAMPLES, BATCH):
                rows, step = torch.from_numpy(order[:, begin : begin + BATCH]), step + 1
                rate = RATE * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
                for k, g in slope(weights, x[rows], y[rows]).items():
                    first[k].lerp_(g, 0.1)
                    second[k].mul_(0.999).addcmul_(g, g, value=0.001)
                    weights[k].addcdiv_(first[k], second[k].sqrt().add_(1e-7), value=-rate)
        for k, v in weights.items():
            total[k] = total[k] + (v - start[k]).sum(0) / clients
    with torch.no_grad():
        for key, value in model.named_parameters():
            value += total[key]


serve({"loop": loop_round, "vmap": vmap_round}[way])
