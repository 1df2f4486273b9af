"""The accuracy of the model file's integer network, plainly or as on shares,
or of the float network that it came from; or whether its logits are those of `stria eval`."""

import argparse
import json
from pathlib import Path

import numpy as np

import catalogue
import integer
import model_file
from dataset import top_left
from shared_relu import SharedRelu


BATCH = 200


def logits_in(path):
    """What `stria eval --logits` wrote: logits by the number that an image's name ends with."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {int(line["image"].rpartition("/")[2]): line["logits"] for line in lines}


def differing(model, images, found):
    """The numbers of the images whose logits are not the integer network's, to the last bit."""
    side = model[0]["input"]["side"]
    different = []
    for first in range(0, len(images), BATCH):
        mine = integer.logits(model, top_left(images[first:first + BATCH], side))
        different += [first + i for i, row in enumerate(mine)
                      if not np.array_equal(row, found.get(first + i))]
    return different


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("--model", type=Path, help="the network's model file by default")
    parser.add_argument("--split", choices=["train", "validation", "test"], default="validation")
    parser.add_argument("--images", type=int, help="only the first ones")
    parser.add_argument("--h", type=int, choices=range(4, 13), metavar="4..12",
                        help="simulate the two-party ReLU comparing the top h of k = 20 - shift bits")
    parser.add_argument("--float", dest="run", metavar="RUN",
                        help="the float network of this checkpoint instead")
    parser.add_argument("--logits", type=Path, metavar="FILE",
                        help="compare with the logits that `stria eval --logits FILE` wrote for "
                             "the same images, named by their place in the split")
    options = parser.parse_args(arguments)

    entry = catalogue.find(options)
    test = options.split == "test"
    images, labels = entry.dataset.load_test() if test else entry.dataset.load(options.split)
    images, labels = images[:options.images], labels[:options.images]
    if options.run:
        from export import load  # only this needs PyTorch
        from train import accuracy
        network, _ = load(entry, options.run)
        right = accuracy(network, entry.dataset, images, labels, bf16=False)
        print(f"{options.split}, {len(labels)} images, float: {right:.4f}")
        return
    model = model_file.read(options.model or entry.model_file)
    if options.logits:
        found = logits_in(options.logits)
        different = differing(model, images, found)
        print(f"{options.split}, {len(images)} images: the logits of {len(different)} differ")
        if different:
            raise SystemExit(f"the first of them is {different[0]}")
        return
    relu = SharedRelu(options.h) if options.h else integer.plain_relu
    right = integer.accuracy(model, images, labels, relu)
    kind = f"on shares, h = {options.h}" if options.h else "plain integers"
    print(f"{options.split}, {len(labels)} images, {kind}: {right:.4f}")


if __name__ == "__main__":
    main()
