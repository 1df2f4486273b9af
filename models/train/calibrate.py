"""The scales of the integer model, as fine as its ranges allow, and the ranges,
both from training images."""

import math

import numpy as np

import integer
from quantise import integer_model, refine_logits

LIMIT = 1 << 19
# With the comparison on the top 8 bits, 2^12 is lost at the lower end.
LOWER_MARGIN = 1 << 12
IMAGES = 10000
HEADROOM = 1.25
TRIAL_SCALE = 64
TRIAL_LOGIT_SCALE = 1 << 16
SLACKS = [0.995, 0.98, 0.95]  # another scale rounds otherwise, which moves the range


def allowed(relu, shift):
    return LIMIT - LOWER_MARGIN - (1 << shift) if relu else LIMIT - 1


class Observer:
    """The largest |y| of every layer, and the pooled inputs of the last one."""

    def __init__(self, model, images):
        layers, self.shift = model[0]["layers"], model[0]["shift"]
        self.largest = {layer["name"]: 0 for layer in layers}
        self.last_input = layers[-1]["input"]
        self.pooled = []
        integer.accuracy(model, images, np.zeros(len(images)), observe=self)
        self.pooled = np.concatenate(self.pooled).astype(np.float64)

    def __call__(self, layer, y):
        name = layer["name"]
        self.largest[name] = max(self.largest[name], int(np.abs(y).max()))
        if name == self.last_input:
            self.pooled.append(integer.plain_relu(y, self.shift).sum((2, 3)).T)


def finest_scales(architecture, shift, largest, slack):
    """The scales that use the whole range, from the largest |y| at the trial scales."""
    room = {layer.name: allowed(layer.relu, shift) * slack / (HEADROOM * largest[layer.name])
            for layer in architecture.layers}
    scales = {layer.name: TRIAL_SCALE * min(room[name] for name in architecture.stream(layer.name))
              for layer in architecture.layers}
    logits = architecture.last.name
    scales[logits] = int(TRIAL_LOGIT_SCALE * 2 ** math.floor(math.log2(room[logits])))
    return scales


def measured(model, entry):
    """What the first training images show of an integer model."""
    return Observer(model, entry.dataset.load("train")[0][:IMAGES])


def trial_ranges(network, entry):
    """The largest |y| of every layer at the trial scales."""
    trial = {layer.name: TRIAL_SCALE if layer.relu else TRIAL_LOGIT_SCALE
             for layer in entry.architecture.layers}
    return measured(integer_model(network, entry, trial), entry).largest


def record_ranges(model, shift, largest):
    """Writes the ranges into the model's description; says whether they are allowed."""
    layers = model[0]["layers"]
    for layer in layers:
        layer["max_abs"] = math.ceil(HEADROOM * largest[layer["name"]])
    return all(layer["max_abs"] <= allowed(layer["relu"], shift) for layer in layers)


def calibrated_model(network, entry):
    """The integer model with the range of every layer recorded."""
    last = entry.architecture.last.name
    trial_largest = trial_ranges(network, entry)
    for slack in SLACKS:
        scales = finest_scales(entry.architecture, entry.shift, trial_largest, slack)
        model = integer_model(network, entry, scales)
        seen = measured(model, entry)
        refine_logits(model, network, entry, scales, seen.pooled)
        _, weights, biases = model
        logits = seen.pooled @ weights[last][:, :, 0, 0].T + biases[last]
        seen.largest[last] = int(np.abs(logits).max())
        if record_ranges(model, entry.shift, seen.largest):
            return model
    raise SystemExit("the pre-activations do not fit the integer range")
