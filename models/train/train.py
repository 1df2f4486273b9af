"""Trains the network in floating point; stops and resumes at epoch boundaries.

SGD with Nesterov momentum, linear warm-up, then a cosine to zero. A penalty on
large pre-activations keeps them inside the range that the integers have.
"""

import argparse
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


def train_epoch(network, entry, optimiser, padded, labels, epoch, epochs):
    network.train()
    side = entry.architecture.side
    rng = np.random.default_rng([SEED, epoch])
    order = rng.permutation(len(labels))
    steps = len(order) // BATCH
    loss_sum, norm_sum, largest = 0.0, 0.0, 0.0
    for step in range(steps):
        rate = learning_rate((epoch + step / steps) / epochs)
        for group in optimiser.param_groups:
            group["lr"] = rate
        chosen = order[step * BATCH:(step + 1) * BATCH]
        images = to_input(dataset.augment(padded, side, chosen, rng), entry.dataset)
        penalty = RangePenalty() if step % PENALTY_EVERY == 0 else None
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images, penalty)
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
    return loss_sum / steps, norm_sum / steps, largest


@torch.no_grad()
def accuracy(network, data, images, labels, bf16=True):
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
    optimiser = make_optimiser(network)
    checkpoint = CHECKPOINTS / f"{options.run or entry.name}.pt"
    first = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["epoch"]
        print(f"resuming after epoch {first}", flush=True)

    for epoch in range(first, epochs):
        started = time.time()
        loss, norm, largest = train_epoch(network, entry, optimiser, padded, labels, epoch,
                                          epochs)
        right = accuracy(network, entry.dataset, *validation)
        save(checkpoint, network=network.state_dict(), optimiser=optimiser.state_dict(),
             epoch=epoch + 1, epochs=epochs, validation=right)
        print(f"epoch {epoch + 1}/{epochs} loss {loss:.4f} validation {right:.4f} "
              f"gradient {norm:.2f} largest {largest:.1f} {time.time() - started:.0f} s",
              flush=True)


if __name__ == "__main__":
    main()
