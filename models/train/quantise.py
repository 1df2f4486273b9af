"""From the trained network to integers: batch normalisation folded, weights and
biases scaled and rounded.

A layer's activations have a scale, in units per 1.0; its pre-activations have
2^shift times that. Layers joined by skip connections share a scale, so that the
factor of every skip is 2^shift. The scales appear nowhere in the integer model:
the ReLU commutes with them, and the weights absorb them.
"""

import numpy as np

import integer
from rounding import rounded_with_feedback

INPUT_SCALE = 64


def folded(module):
    """The weight and bias of a layer with its batch normalisation folded in, in float64."""
    weight = module.weight().detach().double().numpy()
    if module.norm is None:
        return weight, module.convolution.bias.detach().double().numpy()
    norm = module.norm
    gain = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.detach().double() - norm.running_mean.double() * gain
    return weight * gain.numpy()[:, None, None, None], bias.numpy()


def scaled(module, entry, scales):
    """The weight and bias of a layer in the units of the integers, not rounded yet."""
    layer = module.layer
    weight, bias = folded(module)
    in_scale = INPUT_SCALE if layer.input == "image" else scales[layer.input]
    out_scale = scales[layer.name]
    if layer.relu:
        out_scale *= 1 << entry.shift
    else:
        # The same differences between logits, with smaller logits.
        weight, bias = weight - weight.mean(0, keepdims=True), bias - bias.mean()
    if layer.pool:
        # The integers sum over the positions, the network takes their mean.
        weight = weight / entry.architecture.input_side(layer) ** 2
    if layer.cross:
        weight = np.stack([weight[:, :, r, c] for r, c in integer.PLUS_TAPS], axis=2)
    weight, bias = weight * (out_scale / in_scale), bias * out_scale
    if layer.relu:
        bias = bias + (1 << (entry.shift - 1))  # the shift floors: half a unit makes it round
    return weight, bias


def description(entry, logit_scale):
    architecture, data = entry.architecture, entry.dataset
    return {
        "schema": 1,
        "name": architecture.name,
        "classes": data.classes,
        "input": {"channels": data.channels, "side": architecture.side, "resize": data.side,
                  "mean": data.mean, "std": data.std, "scale": INPUT_SCALE},
        "shift": entry.shift,
        "logit_scale": logit_scale,
        "layers": [{
            "name": layer.name, "input": layer.input,
            "channels": [layer.c_in, layer.c_out],
            "kernel": layer.kernel, "cross": layer.cross, "stride": layer.stride,
            "padding": layer.padding, "groups": layer.groups, "shuffle": layer.shuffle,
            "pool": layer.pool,
            "skip": {"from": layer.skip, "factor": 1 << entry.shift} if layer.skip else None,
            "relu": layer.relu, "max_abs": None,
            **({"repeat": layer.repeat} if layer.repeat else {}),
        } for layer in architecture.layers],
    }


def integer_model(network, entry, scales):
    """Description, weights and biases, all rounded to the nearest."""
    weights, biases = {}, {}
    for module in network.layers:
        name = module.layer.name
        weight, bias = scaled(module, entry, scales)
        weights[name] = np.rint(weight).astype(np.int64)
        biases[name] = np.rint(bias).astype(np.int64)
    return description(entry, scales[entry.architecture.last.name]), weights, biases


def refine_logits(model, network, entry, scales, pooled):
    """Rounds the last layer again, given its inputs [images, channels]."""
    name = entry.architecture.last.name
    weight, bias = scaled(network.layers[-1], entry, scales)
    rounded, correction = rounded_with_feedback(weight[:, :, 0, 0], pooled)
    model[1][name] = rounded[:, :, None, None]
    model[2][name] = np.rint(bias + correction).astype(np.int64)
