"""CIFAR-10 in its classic binary files."""

import numpy as np

from dataset import WORK, Dataset

SIDE = 32
BINARIES = WORK / "data" / "cifar-10-batches-bin"
FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}


def _read_binary(path):
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, 1 + 3 * SIDE * SIDE)
    labels = records[:, 0].astype(np.int64)
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels


def _read(part):
    images, labels = zip(*(_read_binary(BINARIES / name) for name in FILES[part]))
    return np.concatenate(images), np.concatenate(labels)


CIFAR10 = Dataset(
    name="cifar10",
    classes=("airplane", "automobile", "bird", "cat", "deer",
             "dog", "frog", "horse", "ship", "truck"),
    mean=(0.4914, 0.482157, 0.446529),
    std=(0.247031, 0.243486, 0.261588),
    side=SIDE,
    margin=4,
    margin_mode="reflect",
    read=_read,
)
