"""What a network costs: activations, ciphertext bytes and bytes an inference.

`stria inspect` plans the network's shapes: it gets a model file with zero weights.
"""

import argparse
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import catalogue
import model_file
from quantise import description

# Both ways, as `stria demo` counts it at k_s = 4 and h = 8, frames included.
BYTES_PER_RELU = 47
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20}
CIPHERTEXTS = re.compile(r" +([\d.]+) (KiB|MiB) +([\d.]+) (KiB|MiB) +(\d+) ")


@dataclass(frozen=True)
class Cost:
    activations: int
    ciphertext_bytes: int
    parameters: int
    macs: int

    @property
    def bytes(self):
        return self.ciphertext_bytes + BYTES_PER_RELU * self.activations


def inspect(entry, stria):
    """The output of `stria inspect` for the network with zero weights."""
    architecture = entry.architecture
    shapes = description(entry, 1)
    for layer in shapes["layers"]:
        layer["max_abs"] = 1  # skip connections have none that is proved
    weights, biases = {}, {}
    for layer in architecture.layers:
        taps = (5,) if layer.cross else (layer.kernel, layer.kernel)
        weights[layer.name] = np.zeros((layer.c_out, layer.c_in // layer.groups, *taps))
        biases[layer.name] = np.zeros(layer.c_out)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shapes.safetensors")
        model_file.write(path, shapes, weights, biases)
        return subprocess.run([stria, "inspect", path], capture_output=True, text=True,
                              check=True).stdout


def cost(entry, text):
    architecture = entry.architecture
    activations, macs, parameters, total = 0, 0, 0, 0.0
    for layer in architecture.layers:
        values = layer.c_out * architecture.output_side(layer) ** 2
        taps = 5 if layer.cross else layer.kernel ** 2
        activations += values if layer.relu else 0
        macs += values * taps * layer.c_in // layer.groups
        parameters += layer.c_out * (taps * layer.c_in // layer.groups + 1)
    for up, up_unit, down, down_unit, _ in CIPHERTEXTS.findall(text):
        total += float(up) * UNITS[up_unit] + float(down) * UNITS[down_unit]
    return Cost(activations, round(total), parameters, macs)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("--stria", default="stria", help="the program")
    options = parser.parse_args()
    entry = catalogue.find(options)
    text = inspect(entry, options.stria)
    result = cost(entry, text)
    print(text)
    print(f"multiplications    {result.macs / 1e6:.1f} M")
    print(f"ciphertexts        {result.ciphertext_bytes / 1e6:.2f} MB")
    print(f"an inference       {result.bytes / 1e6:.2f} MB, about")


if __name__ == "__main__":
    main()
