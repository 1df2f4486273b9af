"""Data sets in the usual layout, FOLDER/train/CLASS/ and FOLDER/val/CLASS/ with pictures anywhere
below, as ImageNet and Tiny ImageNet come.

`val` is what nothing but the last evaluation sees; validation is part of `train`, as for every
data set. Pictures are decoded when they are asked for.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dataset import VALIDATION, Dataset

EXTENSIONS = {".jpeg", ".jpg", ".png", ".ppm"}
FOLDERS = {"train": "train", "test": "val"}
SEED = 1
DECODERS = 8


def decoded(path, side):
    """The centred square of a picture whose shorter side was resized to `side`, uint8 RGB, as
    `stria` makes it but for the rounding of the resize."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    shorter = min(picture.size)
    scaled = tuple((length * side + shorter // 2) // shorter for length in picture.size)
    if scaled != picture.size:
        picture = picture.resize(scaled, Image.Resampling.BILINEAR)
    left, top = ((length - side) // 2 for length in scaled)
    return np.asarray(picture.crop((left, top, left + side, top + side)))


class Files:
    """Pictures [n, side, side, 3] that are decoded on access; slices and index arrays are lazy."""

    def __init__(self, paths, side):
        self.paths, self.side = np.asarray(paths), side

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if isinstance(index, (int, np.integer)):
            return decoded(self.paths[index], self.side)
        return Files(self.paths[index], self.side)

    def __array__(self, dtype=None, copy=None):
        with ThreadPoolExecutor(DECODERS) as pool:
            pictures = list(pool.map(lambda path: decoded(path, self.side), self.paths))
        return np.stack(pictures).astype(dtype or np.uint8, copy=False)


def class_names(folder):
    return tuple(sorted(path.name for path in (folder / FOLDERS["train"]).iterdir()
                        if path.is_dir()))


@cache
def listed(folder, classes, part, side):
    """The pictures of a part, in an order that mixes the classes and is always the same."""
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(path for path in (folder / FOLDERS[part] / name).rglob("*")
                       if path.suffix.lower() in EXTENSIONS)
        paths += found
        labels += [label] * len(found)
    order = np.random.default_rng(SEED).permutation(len(paths))
    return Files(np.array(paths, dtype=object)[order], side), np.array(labels)[order]


def _nowhere(part):
    raise SystemExit("this data set is a folder: --data FOLDER")


def class_folder(name, classes, side, zoom):
    """A data set of `classes` classes and pictures of this side; at() says where it is."""
    return Dataset(name=name, classes=tuple(f"class-{i}" for i in range(classes)),
                   mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), side=side,
                   margin=0, margin_mode="constant", zoom=zoom, read=_nowhere)


def at(data, folder):
    """The data set with its pictures from a folder."""
    folder = Path(folder).resolve()
    classes = class_names(folder)
    if len(classes) != len(data.classes):
        raise SystemExit(f"{folder} has {len(classes)} classes, {data.name} {len(data.classes)}")
    read = lambda part: listed(folder, classes, part, data.side)
    return replace(data, classes=classes, read=read,
                   validation=min(VALIDATION, len(read("train")[1]) // 10))


TINY_IMAGENET = class_folder("tiny-imagenet", 200, side=64, zoom=0.5)
IMAGENET = class_folder("imagenet", 1000, side=256, zoom=0.35)
