"""Averages the weights of two checkpoints of one network, one of which began with the other.

Weights before a batch normalisation are brought to one size first, and its statistics are
measured again.
"""

import argparse

import torch
from torch import nn

import catalogue
from train import CHECKPOINTS, DEVICE, Pictures, accuracy, save
from network import StriaNet

BATCHES = 60  # to measure the statistics


def unit_sized(state):
    """The state with the weights that a normalisation follows at length 1."""
    def scaled(name, value):
        norm = name.replace("convolution.weight", "norm.weight")
        return value / value.norm() if norm != name and norm in state else value

    return {name: scaled(name, value) for name, value in state.items()}


def mean(first, second):
    first, second = unit_sized(first), unit_sized(second)
    return {name: (value + second[name]) / 2 if value.is_floating_point() else value
            for name, value in first.items()}


@torch.no_grad()
def measure_statistics(network, pictures):
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
    network.train()
    for _, (_, images) in zip(range(BATCHES), pictures.batches(0)):
        network(images)
    network.eval()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("runs", nargs=2, metavar="RUN", help="names of the checkpoints")
    parser.add_argument("--run", required=True, help="name of the new checkpoint")
    options = parser.parse_args(arguments)
    entry = catalogue.find(options)
    torch.set_num_threads(1)
    states = [torch.load(CHECKPOINTS / f"{run}.pt", map_location=DEVICE) for run in options.runs]
    network = StriaNet(entry.architecture).to(DEVICE)
    network.load_state_dict(mean(*(state["network"] for state in states)))
    measure_statistics(network, Pictures(entry))
    right = accuracy(network, entry.dataset, *entry.dataset.load("validation"))
    save(CHECKPOINTS / f"{options.run}.pt", **{**states[1], "network": network.state_dict(),
                                               "validation": right})
    print(f"validation {right:.4f}")


if __name__ == "__main__":
    main()
