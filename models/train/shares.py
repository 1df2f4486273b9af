"""The cost of the protocol's two approximations: accuracy on random shares for several k (bits of
an activation's shares) and h (bits that the sign is taken from); into shares.csv.

k = 20 - shift: the model is made anew from the checkpoint for every k.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import torch

import catalogue
import integer
from calibrate import calibrated_model
from export import load
from shared_relu import ACCUMULATOR_BITS, SharedRelu

TABLE = Path(__file__).resolve().parent / "shares.csv"
COLUMNS = ["network", "split", "k", "h", "top-1"]
PLAIN = "plain"  # not on shares
H = [8, 9, 10]


def rows(entry, network, split, k):
    """Every row of one k."""
    model = calibrated_model(network, replace(entry, shift=ACCUMULATOR_BITS - k))
    images = entry.dataset.load_test() if split == "test" else entry.dataset.load(split)
    for h in [PLAIN, *sorted({h for h in H if h < k} | {k})]:
        relu = integer.plain_relu if h == PLAIN else SharedRelu(h)
        yield [entry.name, split, k, h, f"{integer.accuracy(model, *images, relu):.4f}"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("--run", help="name of the checkpoint, the network's by default")
    parser.add_argument("--split", choices=["validation", "test"], default="validation")
    parser.add_argument("--k", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--output", type=Path, default=TABLE)
    options = parser.parse_args(arguments)
    entry = catalogue.find(options)
    torch.set_num_threads(1)
    network, _ = load(entry, options.run)
    first = not options.output.exists()
    with options.output.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if first:
            writer.writerow(COLUMNS)
        for k in options.k:
            for row in rows(entry, network, options.split, k):
                writer.writerow(row)
                file.flush()
                print(*row, flush=True)


if __name__ == "__main__":
    main()
