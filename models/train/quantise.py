"""From the trained network to integers: batch normalisation folded, weights and
biases scaled and rounded, ranges calibrated on training images.

All activations share one scale, so the skip connections need one factor, 2^shift,
and every pre-activation is in units of 1/(activation scale * 2^shift).
"""

import math

import numpy as np

import dataset
import integer
from architecture import LAYERS

INPUT_SCALE = 64
SHIFT = 8
ACTIVATION_SCALES = [128, 64]  # the finest that keeps the range
TRIAL_LOGIT_SCALE = 1 << 16
LIMIT = 1 << 19
# With the comparison on the top 8 of 12 bits, 2^12 is lost at the lower end.
LOWER_MARGIN = 4096 + 256
CALIBRATION_IMAGES = 10000
HEADROOM = 1.25


def folded(module):
    """The weight and bias of a layer with its batch normalisation folded in, in float64."""
    weight = module.weight().detach().double().numpy()
    if module.norm is None:
        return weight, module.convolution.bias.detach().double().numpy()
    norm = module.norm
    gain = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.detach().double() - norm.running_mean.double() * gain
    gain = gain.numpy()
    return weight * gain[:, None, None, None], bias.numpy()


def centred_logits(weight, bias):
    """The same differences between logits, with smaller logits: their mean is removed."""
    return weight - weight.mean(0, keepdims=True), bias - bias.mean()


def to_integers(network, activation_scale, logit_scale):
    weights, biases = {}, {}
    for module in network.layers:
        layer = module.layer
        weight, bias = folded(module)
        in_scale = INPUT_SCALE if layer.input == "image" else activation_scale
        out_scale = activation_scale << SHIFT
        rounding = 1 << (SHIFT - 1)  # the shift floors: half a unit makes it round
        if not layer.relu:
            weight, bias = centred_logits(weight, bias)
            out_scale, rounding = logit_scale, 0
        if layer.pool:
            weight = weight / 9  # the integers sum over 3x3 positions
        if layer.cross:
            weight = np.stack([weight[:, :, r, c] for r, c in integer.PLUS_TAPS], axis=2)
        weights[layer.name] = np.rint(weight * (out_scale / in_scale)).astype(np.int64)
        biases[layer.name] = np.rint(bias * out_scale).astype(np.int64) + rounding
    return weights, biases


def describe(logit_scale):
    return {
        "schema": 1,
        "name": "strianet-c10",
        "classes": dataset.CLASSES,
        "input": {"channels": 3, "side": dataset.CROP, "resize": dataset.SIDE,
                  "mean": dataset.MEAN, "std": dataset.STD, "scale": INPUT_SCALE},
        "shift": SHIFT,
        "logit_scale": logit_scale,
        "layers": [{
            "name": layer.name, "input": layer.input,
            "channels": [layer.c_in, layer.c_out],
            "kernel": layer.kernel, "cross": layer.cross, "stride": layer.stride,
            "padding": layer.padding, "groups": layer.groups, "shuffle": layer.shuffle,
            "pool": layer.pool,
            "skip": {"from": layer.skip, "factor": 1 << SHIFT} if layer.skip else None,
            "relu": layer.relu, "max_abs": None,
        } for layer in LAYERS],
    }


def largest_seen(model, images):
    """The largest |y| of every layer over the images."""
    largest = {layer["name"]: 0 for layer in model[0]["layers"]}

    def observe(layer, y):
        largest[layer["name"]] = max(largest[layer["name"]], int(np.abs(y).max()))

    integer.accuracy(model, images, np.zeros(len(images)), observe=observe)
    return largest


def allowed(layer):
    return LIMIT - LOWER_MARGIN if layer["relu"] else LIMIT - 1


def in_range(model):
    return all(layer["max_abs"] <= allowed(layer) for layer in model[0]["layers"])


def calibrate(model, images):
    largest = largest_seen(model, images)
    for layer in model[0]["layers"]:
        layer["max_abs"] = math.ceil(HEADROOM * largest[layer["name"]])


def finest_logit_scale(largest_logit, scale):
    """The largest power of two that keeps the logits in range with headroom."""
    factor = (LIMIT - 1) / (HEADROOM * largest_logit)
    return int(scale * 2 ** math.floor(math.log2(factor)))


def quantise(network):
    """The integer model: description, weights and biases."""
    images = dataset.load("train")[0][:CALIBRATION_IMAGES]
    for activation_scale in ACTIVATION_SCALES:
        scale = TRIAL_LOGIT_SCALE
        model = (describe(scale), *to_integers(network, activation_scale, scale))
        largest = largest_seen(model, images[:2000])
        scale = finest_logit_scale(largest[LAYERS[-1].name] * 1.1, scale)
        model = (describe(scale), *to_integers(network, activation_scale, scale))
        calibrate(model, images)
        if in_range(model):
            print(f"activation scale {activation_scale}, logit scale {scale}")
            return model
        print(f"activation scale {activation_scale} does not fit: " + ", ".join(
            f"{layer['name']} {layer['max_abs']}" for layer in model[0]["layers"]
            if layer["max_abs"] > allowed(layer)))
    raise SystemExit("the pre-activations do not fit the integer range")
