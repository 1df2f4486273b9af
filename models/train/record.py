"""Adds what a checkpoint costs and how right it is on the validation split to results.csv."""

import argparse
import csv
from pathlib import Path

import torch

import catalogue
import integer
import model_file
from calibrate import calibrated_model
from cost import cost, inspect
from export import load
from shared_relu import SharedRelu

H = 8
RESULTS = Path(__file__).resolve().parent / "results.csv"


def in_integers(network, entry, model_path):
    """Accuracy on the validation split, plainly and on shares."""
    model = model_file.read(model_path) if model_path else calibrated_model(network, entry)
    validation = entry.dataset.load("validation")
    return [f"{integer.accuracy(model, *validation, relu):.4f}"
            for relu in (integer.plain_relu, SharedRelu(H))]


def row(entry, run, stria, how, pilot, model_path):
    network, state = load(entry, run)
    plain, shares = ("", "") if pilot else in_integers(network, entry, model_path)
    cost_of = cost(entry, inspect(entry, stria))
    return {
        "network": entry.name, "data": entry.dataset.name,
        "activations": cost_of.activations, "bytes": cost_of.bytes,
        "parameters": cost_of.parameters, "multiplications": cost_of.macs,
        "how": how, "epoch": state["epoch"], "of": state["epochs"],
        "float": f"{state['validation']:.4f}",
        "integer": plain, "shares": shares,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("--run", help="name of the checkpoint, the network's by default")
    parser.add_argument("--pilot", action="store_true",
                        help="in floating point only, which takes no time")
    parser.add_argument("--how", required=True, help="how it was trained, in some words")
    parser.add_argument("--model", dest="model_path", type=Path, metavar="FILE",
                        help="the model file made of it; by default it is rounded here")
    parser.add_argument("--stria", default="stria", help="the program")
    options = parser.parse_args()
    torch.set_num_threads(1)
    new = row(catalogue.find(options), options.run, options.stria, options.how, options.pilot,
              options.model_path)
    first = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, new, lineterminator="\n")
        if first:
            writer.writeheader()
        writer.writerow(new)
    print(", ".join(f"{key} {value}" for key, value in new.items()))


if __name__ == "__main__":
    main()
