"""A data set, split into train, validation and test, and its augmentation.

Images are uint8 [n, side, side, channels], in memory or decoded when they are asked for
(class_folder). The validation split is the last training images. Only `load_test` gives the test
images, and only what reports final figures calls it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

VALIDATION = 5000
WORK = Path(__file__).resolve().parent.parent / ".work"


@dataclass(frozen=True)
class Dataset:
    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]   # one a channel, of pixels between 0 and 1
    std: tuple[float, ...]
    side: int
    margin: int               # rows and columns added on every side for random crops
    margin_mode: str          # what they hold, as numpy.pad says it
    read: Callable            # the images and labels of "train" or "test"
    zoom: float = 1.0         # the smallest side of a random crop, of the image's
    validation: int = VALIDATION

    @property
    def channels(self):
        return len(self.mean)

    def load(self, split):
        """The images and labels of "train" or "validation"."""
        images, labels = self.read("train")
        if split == "train":
            return images[:-self.validation], labels[:-self.validation]
        if split == "validation":
            return images[-self.validation:], labels[-self.validation:]
        raise ValueError(f"unknown split {split!r}")

    def load_test(self):
        """The test images and labels: for final figures, never for training or a choice."""
        return self.read("test")

    def pad(self, images):
        """Room for random crops."""
        if self.margin == 0:
            return images
        margin = (self.margin, self.margin)
        return np.pad(images, ((0, 0), margin, margin, (0, 0)), mode=self.margin_mode)


def top_left(images, side):
    """What the network sees at evaluation."""
    return np.asarray(images)[:, :side, :side]


class View:
    """One random crop of every padded image, and a square hole in it, which may lie partly
    outside."""

    def __init__(self, count, padded_side, side, zoom, hole, rng):
        self.side, self.hole = side, hole
        if zoom < 1:
            self.sides = rng.integers(round(zoom * padded_side), padded_side + 1, count)
        else:
            self.sides = np.full(count, side)
        self.corners = rng.integers(0, (padded_side - self.sides + 1)[:, None], (count, 2))
        self.holes = (rng.integers(1 - hole, side, (count, 2)) if hole
                      else np.zeros((count, 2), dtype=int))

    def image(self, padded, index, flip, colour):
        """The image's crop, mirrored if flip says so, with its hole of the given colour."""
        (row, column), reach = self.corners[index], self.sides[index]
        crop = padded[index][row:row + reach, column:column + reach]
        if reach != self.side:
            picture = Image.fromarray(crop).resize((self.side, self.side),
                                                   Image.Resampling.BILINEAR)
            crop = np.asarray(picture)
        image = (crop[:, ::-1] if flip else crop).copy()
        top, left = np.maximum(self.holes[index], 0)
        bottom, right = self.holes[index] + self.hole
        image[top:bottom, left:right] = colour
        return image

    def images(self, padded, indices, flips, colour):
        """The chosen images."""
        def image(index, flip):
            return self.image(padded, index, flip, colour)

        if isinstance(padded, np.ndarray):
            return np.stack([image(*chosen) for chosen in zip(indices, flips)])
        with ThreadPoolExecutor() as pool:  # decoding
            return np.stack(list(pool.map(image, indices, flips)))
