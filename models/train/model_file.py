"""The model file: safetensors with the layers' integers, and the architecture as JSON."""

import json

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def write(path, description, weights, biases):
    tensors = {}
    for layer in description["layers"]:
        name = layer["name"]
        tensors[f"{name}.weight"] = narrowed(weights[name], np.int16)
        tensors[f"{name}.bias"] = narrowed(biases[name], np.int32)
    text = json.dumps(description, separators=(",", ":"))
    save_file(tensors, path, metadata={"stria": text})
    path.chmod(0o644)


def narrowed(values, dtype):
    limits = np.iinfo(dtype)
    if values.min() < limits.min or values.max() > limits.max:
        raise ValueError(f"{values.min()}..{values.max()} does not fit {dtype.__name__}")
    return np.ascontiguousarray(values.astype(dtype))


def read(path):
    """The description, the weights and the biases, the latter two by layer name."""
    with safe_open(path, framework="np") as file:
        description = json.loads(file.metadata()["stria"])
        names = [layer["name"] for layer in description["layers"]]
        weights = {name: file.get_tensor(f"{name}.weight") for name in names}
        biases = {name: file.get_tensor(f"{name}.bias") for name in names}
    return description, weights, biases
