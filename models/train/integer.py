"""The network in integers, executed from what the model file says and nothing else.

Activations are [channels, images, height, width]. Products run in floating point, where
integers up to 2^24 (float32) or 2^53 (float64) are exact.
"""

import numpy as np

from architecture import shuffled
from dataset import top_left

PLUS_TAPS = [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)]  # up, left, centre, right, down


def quantised_image(images, description):
    """round(((pixel/255 - mean)/std) * scale), halves away from zero, in float32."""
    entry = description["input"]
    pixels = images.astype(np.float32) / np.float32(255)
    real = (pixels - np.float32(entry["mean"])) / np.float32(entry["std"])
    scaled = real * np.float32(entry["scale"])
    rounded = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled)
    return rounded.transpose(3, 0, 1, 2).astype(np.int64)


def pre_activation(layer, weight, bias, x):
    """y = sum of weight*x + bias, as int64."""
    if layer["shuffle"] > 1:
        x = x[shuffled(len(x), layer["shuffle"])]
    if layer["pool"]:
        x = x.sum((2, 3), keepdims=True)
    pad = layer["padding"]
    kernel, stride, groups = layer["kernel"], layer["stride"], layer["groups"]
    largest = np.abs(weight.astype(np.int64)).sum(tuple(range(1, weight.ndim))).max()
    exact = np.float32 if largest * np.abs(x).max() < 1 << 24 else np.float64
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))).astype(exact)
    side = (x.shape[2] - kernel) // stride + 1
    reach = (side - 1) * stride + 1
    taps = PLUS_TAPS if layer["cross"] else list(np.ndindex(kernel, kernel))
    per_tap = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], len(taps))
    y = 0
    for tap, (r, c) in enumerate(taps):
        seen = x[:, :, r:r + reach:stride, c:c + reach:stride]
        columns = seen.reshape(groups, weight.shape[1], -1)
        y = y + per_tap[..., tap].astype(exact) @ columns
    y = y.reshape(weight.shape[0], x.shape[1], side, side).astype(np.int64)
    return y + bias[:, None, None, None]


def plain_relu(y, shift):
    return np.maximum(0, y >> shift)


def logits(model, images, relu=plain_relu, observe=None):
    """The integer logits [images, classes] of uint8 images [n, side, side, 3]."""
    description, weights, biases = model
    outputs = {"image": quantised_image(images, description)}
    for layer in description["layers"]:
        name = layer["name"]
        y = pre_activation(layer, weights[name], biases[name], outputs[layer["input"]])
        if layer["skip"]:
            y += layer["skip"]["factor"] * outputs[layer["skip"]["from"]]
        if observe is not None:
            observe(layer, y)
        outputs[name] = relu(y, description["shift"]) if layer["relu"] else y
    return y[:, :, 0, 0].T


def accuracy(model, images, labels, relu=plain_relu, observe=None, batch=200):
    side = model[0]["input"]["side"]
    right = 0
    for first in range(0, len(labels), batch):
        chosen = top_left(images[first:first + batch], side)
        guess = logits(model, chosen, relu, observe).argmax(1)
        right += int((guess == labels[first:first + batch]).sum())
    return right / len(labels)
