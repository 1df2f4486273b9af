"""The networks of this project, by name: their layers, data, training and samples."""

from dataclasses import dataclass
from pathlib import Path

from architecture import Architecture, Layer
from cifar10 import CIFAR10
from dataset import Dataset
from fashion_mnist import FASHION_MNIST

MODELS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Entry:
    architecture: Architecture
    dataset: Dataset
    epochs: int
    label_smoothing: float
    hole: int                # side of the square cut out of every training image
    shift: int               # bits dropped after every ReLU layer
    samples: str             # folder of the sample images
    samples_per_class: int

    @property
    def name(self):
        return self.architecture.name

    @property
    def model_file(self):
        return MODELS / f"{self.name}.safetensors"


def _block(name, source, channels, middle, groups, source_groups):
    return [
        Layer(f"{name}.reduce", source, channels, middle,
              groups=groups, shuffle=source_groups),
        Layer(f"{name}.cross", f"{name}.reduce", middle, middle, kernel=3, cross=True,
              padding=1, groups=groups, shuffle=groups),
        Layer(f"{name}.expand", f"{name}.cross", middle, channels,
              groups=groups, shuffle=groups, skip=source),
    ]


_C10 = Architecture("strianet-c10", 31, (
    Layer("stem", "image", 3, 64, kernel=3, stride=2),
    *_block("s1b1", "stem", 64, 32, groups=4, source_groups=1),
    Layer("down1", "s1b1.expand", 64, 128, kernel=3, stride=2, groups=4, shuffle=4),
    *_block("s2b1", "down1", 128, 64, groups=8, source_groups=4),
    *_block("s2b2", "s2b1.expand", 128, 64, groups=8, source_groups=8),
    *_block("s2b3", "s2b2.expand", 128, 64, groups=8, source_groups=8),
    Layer("down2", "s2b3.expand", 128, 256, kernel=3, stride=2, groups=8, shuffle=8),
    *_block("s3b1", "down2", 256, 256, groups=16, source_groups=8),
    Layer("fc", "s3b1.expand", 256, 10, pool=True, relu=False),
))


def _full(name, stem, stages):
    """Layers of full kernels with a ReLU each: a stem of (channels, kernel, stride, padding),
    then stages of (channels, groups of the strided layer or None, groups of each layer).
    Every second layer, and the last, adds the input of the layers before it since the last sum.
    """
    channels, kernel, stride, padding = stem
    layers = [Layer("stem", "image", 3, channels, kernel, stride=stride, padding=padding)]

    def add(name, c_out, groups, **more):
        last = layers[-1]
        # A dense layer mixes everything anyway.
        shuffle = last.groups if groups > 1 else 1
        layers.append(Layer(name, last.name, last.c_out, c_out, kernel=3, groups=groups,
                            shuffle=shuffle, **more))

    for number, (channels, down, rest) in enumerate(stages, 1):
        if down:
            add(f"down{number}", channels, down, stride=2)
        source = layers[-1].name
        for place, groups in enumerate(rest, 1):
            joins = place % 2 == 0 or place == len(rest)
            add(f"s{number}c{place}", channels, groups, padding=1, skip=source if joins else None)
            source = layers[-1].name if joins else source
    layers.append(Layer("fc", layers[-1].name, layers[-1].c_out, 10, pool=True, relu=False))
    return Architecture(name, 31, tuple(layers))


_STEM = (64, 3, 2, 0)
_MICRO_STEM = (16, 5, 2, 1)
_C10_DEEP = _full("strianet-c10-deep", _STEM,
                  [(64, None, [2, 2]), (128, 2, [2] * 4), (384, 4, [4, 4])])
_C10_MICRO = _full("strianet-c10-micro", _MICRO_STEM, [(96, 1, [2]), (256, 4, [4])])

# Tried for a few epochs against the two above: results.csv.
_CANDIDATES = [
    _full("wide-512", _STEM, [(64, None, [1]), (256, 2, [4, 4, 4]), (512, 4, [4])]),
    _full("even", _STEM, [(64, None, [2, 2]), (256, 4, [4, 4]), (512, 4, [4])]),
    _full("deep-128", _STEM, [(64, None, [2, 2]), (128, 2, [2] * 4), (256, 4, [4, 4])]),
]

# For microcontrollers: few and wide layers, since ciphertexts dominate the traffic. Channels are
# packed more often than the fewest bytes in all would have it: 17 ciphertexts up and 11 down
# instead of 9 and 21, for emulated lines, which are slow on the way down.
_FMNIST_NANO = Architecture("strianet-fmnist-nano", 28, (
    Layer("stem", "image", 1, 64, kernel=7, stride=4, padding=2, repeat=16),
    Layer("down", "stem", 64, 128, kernel=3, stride=2, groups=4, repeat=8),
    Layer("s1.cross", "down", 128, 128, kernel=3, cross=True, padding=1,
          groups=8, shuffle=4, skip="down", repeat=8),
    Layer("fc", "s1.cross", 128, 10, pool=True, relu=False, repeat=16),
))

_ENTRIES = [
    Entry(_C10, CIFAR10, epochs=48, label_smoothing=0.1, hole=0, shift=8,
          samples="samples", samples_per_class=2),
    Entry(_FMNIST_NANO, FASHION_MNIST, epochs=24, label_smoothing=0.0, hole=0, shift=8,
          samples="samples-fmnist", samples_per_class=1),
    Entry(_C10_DEEP, CIFAR10, epochs=32, label_smoothing=0.1, hole=8, shift=10,
          samples="samples-deep", samples_per_class=2),
    Entry(_C10_MICRO, CIFAR10, epochs=40, label_smoothing=0.1, hole=0, shift=10,
          samples="samples-micro", samples_per_class=2),
    *(Entry(candidate, CIFAR10, epochs=3, label_smoothing=0.1, hole=8, shift=10,
            samples="samples", samples_per_class=2) for candidate in _CANDIDATES),
]
CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def add_option(parser):
    """The option that chooses the network; find(options) gives its entry."""
    parser.add_argument("--network", choices=list(CATALOGUE), default=_ENTRIES[0].name)


def find(options):
    return CATALOGUE[options.network]
