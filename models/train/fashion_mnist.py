"""Fashion-MNIST in its idx files, as the Debian package dataset-fashion-mnist has them."""

import gzip
from pathlib import Path

import numpy as np

from dataset import Dataset

SIDE = 28
FOLDER = Path("/usr/share/datasets/fashion-mnist")
PREFIXES = {"train": "train", "test": "t10k"}
IMAGE_HEADER, LABEL_HEADER = 16, 8


def _bytes(name, header):
    path = FOLDER / f"{name}-ubyte.gz"
    if not path.is_file():
        raise SystemExit(f"{path} is missing: apt-get install dataset-fashion-mnist")
    values = np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8, offset=header)
    return values.copy()  # PyTorch warns about arrays that cannot be written


def _read(part):
    images = _bytes(f"{PREFIXES[part]}-images-idx3", IMAGE_HEADER)
    labels = _bytes(f"{PREFIXES[part]}-labels-idx1", LABEL_HEADER)
    return images.reshape(-1, SIDE, SIDE, 1), labels.astype(np.int64)


FASHION_MNIST = Dataset(
    name="fashion-mnist",
    classes=("t-shirt", "trouser", "pullover", "dress", "coat",
             "sandal", "shirt", "sneaker", "bag", "ankle-boot"),
    mean=(0.285817,),
    std=(0.352937,),
    side=SIDE,
    margin=2,
    margin_mode="constant",
    read=_read,
)
