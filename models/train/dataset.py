"""A data set, split into train, validation and test, and its augmentation.

Images are uint8 arrays [n, side, side, channels]. The last 5,000 training images
are the validation split; nothing here hands test images to training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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

    @property
    def channels(self):
        return len(self.mean)

    def load(self, split):
        """The images and labels of "train", "validation" or "test"."""
        if split == "test":
            return self.read("test")
        images, labels = self.read("train")
        if split == "train":
            return images[:-VALIDATION], labels[:-VALIDATION]
        if split == "validation":
            return images[-VALIDATION:], labels[-VALIDATION:]
        raise ValueError(f"unknown split {split!r}")

    def pad(self, images):
        """Room for random crops."""
        margin = (self.margin, self.margin)
        return np.pad(images, ((0, 0), margin, margin, (0, 0)), mode=self.margin_mode)


def top_left(images, side):
    """What the network sees at evaluation."""
    return images[:, :side, :side]


def augment(padded, side, indices, flips, hole, colour, rng):
    """A random crop of each chosen padded image, flipped where flips says so, with a square
    hole of the given side and colour, which may lie partly outside."""
    n = len(indices)
    room = padded.shape[1] - side + 1
    rows, columns = rng.integers(0, room, n), rng.integers(0, room, n)
    holes = rng.integers(1 - hole, side, (n, 2)) if hole else np.zeros((n, 2), dtype=int)
    out = np.empty((n, side, side, padded.shape[3]), dtype=np.uint8)
    for i, (index, r, c, flip, corner) in enumerate(zip(indices, rows, columns, flips, holes)):
        crop = padded[index, r:r + side, c:c + side]
        out[i] = crop[:, ::-1] if flip else crop
        top, left = np.maximum(corner, 0)
        bottom, right = corner + hole
        out[i, top:bottom, left:right] = colour
    return out
