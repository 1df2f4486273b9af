"""Writes the first two test images of each class as PNG, and the integer logits of each."""

import json
from pathlib import Path

from PIL import Image

import dataset
import integer
import model_file

DESTINATION = Path(__file__).resolve().parent.parent / "samples"


def first_two_of_each_class(labels):
    return [int(index) for label in range(len(dataset.CLASSES))
            for index in (labels == label).nonzero()[0][:2]]


def main():
    images, labels = dataset.load("test")
    chosen = first_two_of_each_class(labels)
    images, labels = images[chosen], labels[chosen]
    names = [f"{i:02}-{dataset.CLASSES[label]}.png" for i, label in enumerate(labels)]

    DESTINATION.mkdir(exist_ok=True)
    for name, image in zip(names, images):
        Image.fromarray(image).save(DESTINATION / name)
    model = model_file.read(model_file.SHIPPED)
    side = model[0]["input"]["side"]
    rows = integer.logits(model, images[:, :side, :side]).tolist()
    lines = [f"  {json.dumps(name)}: {row}" for name, row in zip(names, rows)]
    (DESTINATION / "logits.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
