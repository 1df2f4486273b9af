"""CIFAR-10 in its classic binary files, split into train, validation and test.

Images are uint8 arrays [n, 32, 32, 3]. The last 5,000 of the 50,000 training
images are the validation split; nothing here hands test images to training.
"""

from pathlib import Path

import numpy as np

CLASSES = ["airplane", "automobile", "bird", "cat", "deer",
           "dog", "frog", "horse", "ship", "truck"]
MEAN = [0.4914, 0.482157, 0.446529]
STD = [0.247031, 0.243486, 0.261588]
SIDE = 32
CROP = 31
VALIDATION = 5000

WORK = Path(__file__).resolve().parent.parent / ".work"
BINARIES = WORK / "data" / "cifar-10-batches-bin"


def read_binary(path):
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, 1 + 3 * SIDE * SIDE)
    labels = records[:, 0].astype(np.int64)
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels


def _training_files(folder):
    parts = [read_binary(Path(folder) / f"data_batch_{i}.bin") for i in range(1, 6)]
    return (np.concatenate([images for images, _ in parts]),
            np.concatenate([labels for _, labels in parts]))


def load(split, folder=BINARIES):
    """The images and labels of "train" (45,000), "validation" (5,000) or "test" (10,000)."""
    if split == "test":
        return read_binary(Path(folder) / "test_batch.bin")
    images, labels = _training_files(folder)
    if split == "train":
        return images[:-VALIDATION], labels[:-VALIDATION]
    if split == "validation":
        return images[-VALIDATION:], labels[-VALIDATION:]
    raise ValueError(f"unknown split {split!r}")


def top_left(images):
    """What the network sees at evaluation: the top-left 31x31 pixels."""
    return images[:, :CROP, :CROP]


def pad(images):
    """Room for random crops: 4 reflected pixels on every side."""
    return np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")


def augment(padded, indices, rng):
    """A random 31x31 crop of each chosen padded image, flipped half of the time."""
    n = len(indices)
    room = padded.shape[1] - CROP + 1
    rows, columns = rng.integers(0, room, n), rng.integers(0, room, n)
    flips = rng.random(n) < 0.5
    out = np.empty((n, CROP, CROP, 3), dtype=np.uint8)
    for i, (index, r, c, flip) in enumerate(zip(indices, rows, columns, flips)):
        crop = padded[index, r:r + CROP, c:c + CROP]
        out[i] = crop[:, ::-1] if flip else crop
    return out
