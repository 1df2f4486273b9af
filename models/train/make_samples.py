"""Writes the first test images of each class as PNG, and the integer logits of each."""

import argparse
import json

import catalogue
import integer
import model_file
import pictures


def first_of_each_class(labels, classes, count):
    return [int(index) for label in range(classes)
            for index in (labels == label).nonzero()[0][:count]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    entry = catalogue.find(parser.parse_args())
    classes = entry.dataset.classes
    images, labels = entry.dataset.load_test()
    chosen = first_of_each_class(labels, len(classes), entry.samples_per_class)
    images, labels = images[chosen], labels[chosen]
    names = [f"{i:02}-{classes[label]}.png" for i, label in enumerate(labels)]

    destination = catalogue.MODELS / entry.samples
    destination.mkdir(exist_ok=True)
    for name, image in zip(names, images):
        pictures.write(destination / name, image)
    model = model_file.read(entry.model_file)
    side = model[0]["input"]["side"]
    rows = integer.logits(model, images[:, :side, :side]).tolist()
    lines = [f"  {json.dumps(name)}: {row}" for name, row in zip(names, rows)]
    (destination / "logits.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
