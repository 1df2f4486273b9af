"""Trains the network in floating point; stops and resumes at epoch boundaries.

SGD with Nesterov momentum, linear warm-up, then a cosine to zero; the network that is
kept is a running average of the weights. A penalty on large pre-activations keeps them
inside the range that the integers have.
"""

import argparse
import copy
import math
import os
import time

import numpy as np
import torch
from torch.nn import functional as F

import catalogue
import dataset
from network import StriaNet

SEED = 1
BATCH = 128
PEAK_RATE = 0.2
WARM_UP = 0.15
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
# Pre-activations beyond this are penalised, on every few steps to save time.
COMFORTABLE = 9.0
PENALTY = 0.05
PENALTY_EVERY = 4
LARGEST_GRADIENT = 2.0
# The last part of training has the ReLU that the two-party protocol has when it compares
# 8 bits: positives up to 2^-7 of the range become 0 with a probability that falls to 0.
SHARED_FROM = 0.9
SMALL = 0.1
AVERAGE_STEPS = 500  # the average forgets at this rate

CHECKPOINTS = dataset.WORK / "checkpoints"


def learning_rate(progress):
    if progress < WARM_UP:
        return PEAK_RATE * progress / WARM_UP
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def to_input(images, data):
    """Normalised NCHW pixels in channels-last memory, from uint8 [n, side, side, 3]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).float()
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    return ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)


def make_optimiser(network):
    decayed = [p for p in network.parameters() if p.dim() > 1]
    plain = [p for p in network.parameters() if p.dim() <= 1]
    return torch.optim.SGD([{"params": decayed, "weight_decay": WEIGHT_DECAY},
                            {"params": plain, "weight_decay": 0.0}],
                           lr=PEAK_RATE, momentum=MOMENTUM, nesterov=True)


def shared_relu(y):
    return y * (y > SMALL * torch.rand_like(y))


class Average:
    """The running average of a network's weights and statistics."""

    def __init__(self, network):
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.steps = 0

    @torch.no_grad()
    def update(self, network):
        self.steps += 1
        weight = 1 / min(self.steps, AVERAGE_STEPS)
        floats = [(mine, other) for mine, other
                  in zip(self.network.state_dict().values(), network.state_dict().values())
                  if mine.is_floating_point()]
        torch._foreach_lerp_(*zip(*floats), weight)


class RangePenalty:
    """The excess of pre-activations over the comfortable range, summed per image.

    It is linear: the gradient of a square runs away at the peak learning rate.
    """

    def __init__(self):
        self.total = 0.0
        self.largest = 0.0

    def __call__(self, layer, y):
        if layer.relu:
            self.total = self.total + F.relu(y.abs() - COMFORTABLE).float().sum() / len(y)
        self.largest = max(self.largest, y.detach().abs().max().item())


def train_epoch(network, average, entry, optimiser, padded, labels, epoch, epochs, bf16):
    network.train()
    side, data = entry.architecture.side, entry.dataset
    colour = np.rint(255 * np.array(data.mean)).astype(np.uint8)
    # Every image is flipped in every second epoch.
    flips = (np.random.default_rng(SEED).integers(0, 2, len(labels)) + epoch) % 2
    rng = np.random.default_rng([SEED, epoch])
    order = rng.permutation(len(labels))
    steps = len(order) // BATCH
    loss_sum, norm_sum, largest = 0.0, 0.0, 0.0
    for step in range(steps):
        progress = (epoch + step / steps) / epochs
        rate = learning_rate(progress)
        relu = F.relu if progress < SHARED_FROM else shared_relu
        for group in optimiser.param_groups:
            group["lr"] = rate
        chosen = order[step * BATCH:(step + 1) * BATCH]
        images = to_input(dataset.augment(padded, side, chosen, flips[chosen], entry.hole,
                                          colour, rng), data)
        penalty = RangePenalty() if step % PENALTY_EVERY == 0 else None
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(images, penalty, relu)
        loss = F.cross_entropy(logits.float(), torch.from_numpy(labels[chosen]),
                               label_smoothing=entry.label_smoothing)
        loss_sum += loss.item()
        if penalty:
            loss = loss + PENALTY * PENALTY_EVERY * penalty.total
            largest = max(largest, penalty.largest)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm_sum += torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT,
                                                   error_if_nonfinite=True).item()
        optimiser.step()
        average.update(network)
    return loss_sum / steps, norm_sum / steps, largest


@torch.no_grad()
def accuracy(network, data, images, labels, bf16=False):
    network.eval()
    side = network.architecture.side
    right = 0
    for first in range(0, len(labels), 500):
        batch = to_input(dataset.top_left(images[first:first + 500], side), data)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            guess = network(batch).argmax(1)
        right += (guess.numpy() == labels[first:first + 500]).sum()
    return float(right / len(labels))


def save(path, **state):
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    torch.save(state, scratch)
    os.replace(scratch, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("--epochs", type=int, help="the network's own number by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true",
                        help="faster where convolutions are small or grouped, or with AMX")
    parser.add_argument("--run", help="name of the checkpoint, the network's by default")
    options = parser.parse_args()
    entry = catalogue.find(options)
    epochs = options.epochs or entry.epochs

    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    images, labels = entry.dataset.load("train")
    padded = entry.dataset.pad(images)
    validation = entry.dataset.load("validation")

    network = StriaNet(entry.architecture).to(memory_format=torch.channels_last)
    average = Average(network)
    optimiser = make_optimiser(network)
    checkpoint = CHECKPOINTS / f"{options.run or entry.name}.pt"
    first = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint)
        network.load_state_dict(state["trained"])
        average.network.load_state_dict(state["network"])
        average.steps = state["steps"]
        optimiser.load_state_dict(state["optimiser"])
        first = state["epoch"]
        print(f"resuming after epoch {first}", flush=True)

    for epoch in range(first, epochs):
        started = time.time(), time.process_time()
        loss, norm, largest = train_epoch(network, average, entry, optimiser, padded, labels,
                                          epoch, epochs, options.bf16)
        right = accuracy(average.network, entry.dataset, *validation, options.bf16)
        save(checkpoint, network=average.network.state_dict(), trained=network.state_dict(),
             optimiser=optimiser.state_dict(), steps=average.steps, epoch=epoch + 1,
             epochs=epochs, validation=right)
        print(f"epoch {epoch + 1}/{epochs} loss {loss:.4f} validation {right:.4f} "
              f"gradient {norm:.2f} largest {largest:.1f} {time.time() - started[0]:.0f} s, "
              f"processor {time.process_time() - started[1]:.0f} s",
              flush=True)


if __name__ == "__main__":
    main()
