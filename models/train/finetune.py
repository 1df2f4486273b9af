"""Fine-tunes a trained network in the integers of the protocol, and writes its model file.

The forward pass is the protocol's on random shares: rounded weights, truncation one unit off, the
sign from the top h bits. Gradients pass through the rounding as if it were not there.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import catalogue
import integer
import model_file
from calibrate import allowed, finest_scales, measured, record_ranges, trial_ranges
from export import load
from quantise import INPUT_SCALE, description, scaled
from shared_relu import ACCUMULATOR_BITS, SharedRelu, share_bits
from train import Average, BATCH, DEVICE, Pictures, SEED, rate

PEAK_RATE = 0.003
MOMENTUM = 0.9
LARGEST_GRADIENT = 2.0
# Pre-activations beyond this part of their range are penalised: calibration wants a headroom.
COMFORTABLE = 0.7
PENALTY = 1.0
SLACK = 0.9  # room for ranges that grow


def straight_through(exact, smooth):
    """The first value with the gradient of the second."""
    return smooth + (exact - smooth).detach()


def rounded(x):
    return straight_through(x.round(), x)


def shared_relu(y, shift, h):
    """shared_relu.SharedRelu for tensors of integers in float32."""
    bits = share_bits(shift, h)
    full, wrap = 1 << ACCUMULATOR_BITS, 1 << bits
    whole = y.detach().to(torch.int32)
    client = torch.randint_like(whole, full)
    server = (whole - client) & (full - 1)
    a, b = client >> shift, server >> shift
    u = (a + b) & (wrap - 1)
    top = ((a >> (bits - h)) + (b >> (bits - h))) & ((1 << h) - 1)
    positive = top < 1 << (h - 1)
    # Where the comparison fails at the upper end, u counts as it is: a large positive.
    return straight_through(torch.where(positive, u, 0).float(), F.relu(y) / (1 << shift))


class IntegerLayer(nn.Module):
    """A layer whose parameters are real numbers, in the units of the float network."""

    def __init__(self, module, entry, scales):
        super().__init__()
        self.layer = layer = module.layer
        weight, bias = scaled(module, entry, scales)
        self.out_unit = scales[layer.name] * (1 << entry.shift if layer.relu else 1)
        self.unit = self.out_unit / (INPUT_SCALE if layer.input == "image" else scales[layer.input])
        self.weight = nn.Parameter(torch.from_numpy(weight / self.unit).float())
        self.bias = nn.Parameter(torch.from_numpy(bias / self.out_unit).float())
        taps = torch.zeros(len(integer.PLUS_TAPS), 3, 3)
        for tap, place in enumerate(integer.PLUS_TAPS):
            taps[(tap, *place)] = 1
        self.register_buffer("taps", taps, persistent=False)

    def integers(self):
        return rounded(self.weight * self.unit), rounded(self.bias * self.out_unit)

    def forward(self, x, skip):
        layer = self.layer
        weight, bias = self.integers()
        if layer.cross:
            weight = torch.einsum("oit,trc->oirc", weight, self.taps)
        if layer.shuffle > 1:
            x = F.channel_shuffle(x, layer.shuffle)
        if layer.pool:
            x = x.sum((2, 3), keepdim=True)
        # In float32, exact: sums stay far below 2^24.
        y = F.conv2d(x, weight, bias, layer.stride, layer.padding, groups=layer.groups)
        return y if skip is None else y + skip


class IntegerNetwork(nn.Module):
    def __init__(self, network, entry, scales, h):
        super().__init__()
        self.shift, self.h = entry.shift, h
        self.logit_scale = scales[entry.architecture.last.name]
        self.layers = nn.ModuleList(IntegerLayer(module, entry, scales)
                                    for module in network.layers)

    def forward(self, image):
        """The logits as real numbers, and by how much pre-activations leave their comfort."""
        outputs, excess = {"image": image}, 0.0
        for module in self.layers:
            layer = module.layer
            skip = outputs[layer.skip] * (1 << self.shift) if layer.skip else None
            y = module(outputs[layer.input], skip)
            part = y.abs() / allowed(layer.relu, self.shift)
            excess = excess + F.relu(part - COMFORTABLE).sum() / len(y)
            outputs[layer.name] = shared_relu(y, self.shift, self.h) if layer.relu else y
        return y.flatten(1) / self.logit_scale, excess

    def model(self, entry):
        """Description, weights and biases, without ranges."""
        arrays = [[tensor.detach().cpu().numpy().astype(np.int64) for tensor in module.integers()]
                  for module in self.layers]
        names = [module.layer.name for module in self.layers]
        weights, biases = ({name: pair[i] for name, pair in zip(names, arrays)} for i in (0, 1))
        return description(entry, self.logit_scale), weights, biases


def to_integers(images, data):
    """As integer.quantised_image, but [images, channels, side, side]."""
    entry = {"input": {"mean": data.mean, "std": data.std, "scale": INPUT_SCALE}}
    x = integer.quantised_image(images, entry)
    return torch.from_numpy(x.transpose(1, 0, 2, 3).astype(np.float32)).to(DEVICE)


def tune(network, entry, epochs, peak):
    """The running average of the network's parameters over the last steps."""
    pictures = Pictures(entry, to_tensor=to_integers)
    labels = torch.from_numpy(pictures.labels).to(DEVICE)
    optimiser = torch.optim.SGD(network.parameters(), lr=peak, momentum=MOMENTUM, nesterov=True)
    average = Average(network)
    steps = len(labels) // BATCH
    for epoch in range(epochs):
        started, loss_sum, excess_sum = time.time(), 0.0, 0.0
        for step, (chosen, images) in enumerate(pictures.batches(epoch)):
            for group in optimiser.param_groups:
                group["lr"] = peak * rate((epoch + step / steps) / epochs)
            logits, excess = network(images)
            loss = F.cross_entropy(logits, labels[chosen],
                                   label_smoothing=entry.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            (loss + PENALTY * excess).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT,
                                           error_if_nonfinite=True)
            optimiser.step()
            average.update(network)
            loss_sum, excess_sum = loss_sum + loss.item(), excess_sum + excess.item()
        print(f"epoch {epoch + 1}/{epochs} loss {loss_sum / steps:.4f} "
              f"excess {excess_sum / steps:.4f} {time.time() - started:.0f} s", flush=True)
    return average.network


def scales_of(network, entry):
    return finest_scales(entry.architecture, entry.shift, trial_ranges(network, entry), SLACK)


def report(model, entry, h, what):
    validation = entry.dataset.load("validation")
    plain = integer.accuracy(model, *validation)
    shares = integer.accuracy(model, *validation, SharedRelu(h))
    print(f"validation, {what}: integer {plain:.4f}, on shares, h = {h}: {shares:.4f}", flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("--run", help="name of the checkpoint, the network's by default")
    parser.add_argument("--output", type=Path, help="the network's model file by default")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=PEAK_RATE)
    parser.add_argument("--h", type=int, default=8)
    parser.add_argument("--shift", type=int, help="bits to drop, the network's own by default")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    entry = catalogue.find(options)
    entry = replace(entry, shift=options.shift or entry.shift)

    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    torch.backends.cudnn.allow_tf32 = False  # sums of integers are exact
    network, _ = load(entry, options.run)
    scales = scales_of(network, entry)
    tuned = IntegerNetwork(network, entry, scales, options.h).to(
        DEVICE, memory_format=torch.channels_last)
    report(tuned.model(entry), entry, options.h, "before")
    tuned = tune(tuned, entry, options.epochs, options.rate)
    model = tuned.model(entry)
    if not record_ranges(model, entry.shift, measured(model, entry).largest):
        raise SystemExit("the pre-activations do not fit the integer range")
    model_file.write(options.output or entry.model_file, *model)
    report(model, entry, options.h, "after")


if __name__ == "__main__":
    main()
