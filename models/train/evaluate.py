"""The accuracy of the model file's integer network, plainly or as on shares,
or of the float network that it came from."""

import argparse
from pathlib import Path

import catalogue
import integer
import model_file
from shared_relu import SharedRelu


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("--model", type=Path, help="the network's model file by default")
    parser.add_argument("--split", choices=["train", "validation", "test"], default="validation")
    parser.add_argument("--images", type=int, help="only the first ones")
    parser.add_argument("--h", type=int, choices=range(4, 13), metavar="4..12",
                        help="simulate the two-party ReLU comparing the top h of 12 bits")
    parser.add_argument("--float", dest="run", metavar="RUN",
                        help="the float network of this checkpoint instead")
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
    relu = SharedRelu(options.h) if options.h else integer.plain_relu
    model = model_file.read(options.model or entry.model_file)
    right = integer.accuracy(model, images, labels, relu)
    kind = f"on shares, h = {options.h}" if options.h else "plain integers"
    print(f"{options.split}, {len(labels)} images, {kind}: {right:.4f}")


if __name__ == "__main__":
    main()
