"""Adds what a checkpoint costs and how right it is on the validation split to results.csv."""

import argparse
import csv
from pathlib import Path

import torch

import catalogue
import integer
from calibrate import calibrated_model
from cost import cost, inspect
from export import load

RESULTS = Path(__file__).resolve().parent / "results.csv"


def in_integers(network, entry):
    return integer.accuracy(calibrated_model(network, entry), *entry.dataset.load("validation"))


def row(entry, run, stria, pilot):
    network, state = load(entry, run)
    cost_of = cost(entry, inspect(entry, stria))
    return {
        "network": entry.name, "data": entry.dataset.name,
        "activations": cost_of.activations, "bytes": cost_of.bytes,
        "parameters": cost_of.parameters, "multiplications": cost_of.macs,
        "epoch": state["epoch"], "of": state["epochs"],
        "float": f"{state['validation']:.4f}",
        "integer": "" if pilot else f"{in_integers(network, entry):.4f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("--run", help="name of the checkpoint, the network's by default")
    parser.add_argument("--pilot", action="store_true",
                        help="in floating point only, which takes no time")
    parser.add_argument("--stria", default="stria", help="the program")
    options = parser.parse_args()
    torch.set_num_threads(1)
    new = row(catalogue.find(options), options.run, options.stria, options.pilot)
    first = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, new, lineterminator="\n")
        if first:
            writer.writeheader()
        writer.writerow(new)
    print(", ".join(f"{key} {value}" for key, value in new.items()))


if __name__ == "__main__":
    main()
