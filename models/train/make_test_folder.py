"""Writes the test images as PNG, a folder a class, as `stria eval --data` reads them."""

import argparse

import catalogue
import pictures
from dataset import WORK


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    data = catalogue.find(parser.parse_args()).dataset
    destination = WORK / "data" / f"{data.name}-test"
    for name in data.classes:
        (destination / name).mkdir(parents=True, exist_ok=True)
    for i, (image, label) in enumerate(zip(*data.load_test())):
        pictures.write(destination / data.classes[label] / f"{i:05}.png", image)
    print(f"{i + 1} images in {destination}")


if __name__ == "__main__":
    main()
