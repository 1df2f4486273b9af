"""The networks of this project, by name: their layers, data, training and samples."""

from dataclasses import dataclass, replace
from pathlib import Path

import class_folder
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


def _stria(name, side, classes, stem, stages):
    """A StriaNet: a stem of (channels, kernel, stride), then stages of (channels, channels inside
    a block, groups, blocks); all but the first begin with a strided layer."""
    width, kernel, stride = stem
    layers = [Layer("stem", "image", 3, width, kernel, stride=stride)]

    def add(name, c_out, groups, **more):
        last = layers[-1]
        layers.append(Layer(name, last.name, last.c_out, c_out, groups=groups,
                            shuffle=last.groups, **more))

    for number, (width, inner, groups, blocks) in enumerate(stages, 1):
        if number > 1:
            add(f"down{number - 1}", width, layers[-1].groups, kernel=3, stride=2)
        for block in range(1, blocks + 1):
            prefix, source = f"s{number}b{block}", layers[-1].name
            add(f"{prefix}.reduce", inner, groups)
            add(f"{prefix}.cross", inner, groups, kernel=3, cross=True, padding=1)
            add(f"{prefix}.expand", width, groups, skip=source)
    layers.append(Layer("fc", layers[-1].name, width, classes, pool=True, relu=False))
    return Architecture(name, side, tuple(layers))


# The same as the networks of these names that `stria bench` knows.
_C10_BLOCK = _stria("strianet-c10-block", 31, 10, (64, 3, 2),
                    [(64, 32, 4, 1), (128, 64, 8, 3), (256, 256, 16, 1)])
_TINY_IMAGENET = _stria("strianet-tiny-imagenet", 63, 200, (64, 3, 2),
                        [(64, 32, 4, 0), (128, 64, 4, 2), (256, 128, 8, 3), (512, 512, 16, 2)])
_IMAGENET = _stria("strianet-imagenet", 255, 1000, (32, 7, 4),
                   [(32, 16, 1, 0), (128, 32, 4, 2), (256, 128, 8, 4), (1024, 512, 16, 3)])


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
_C10 = _full("strianet-c10", _STEM,
             [(64, None, [2, 2]), (128, 2, [2] * 4), (384, 4, [4, 4])])
_C10_MICRO = _full("strianet-c10-micro", _MICRO_STEM, [(96, 1, [2]), (256, 4, [4])])

# Tried for a few epochs against the two above: results.csv.
_CANDIDATES = [
    _full("wide-512", _STEM, [(64, None, [1]), (256, 2, [4, 4, 4]), (512, 4, [4])]),
    _full("even", _STEM, [(64, None, [2, 2]), (256, 4, [4, 4]), (512, 4, [4])]),
    _full("deep-128", _STEM, [(64, None, [2, 2]), (128, 2, [2] * 4), (256, 4, [4, 4])]),
]

# For microcontrollers: few and wide layers, since ciphertexts dominate the traffic. Channels are
# packed more often than the fewest bytes in all would have it: more ciphertexts up and fewer down,
# for emulated lines, which are slow on the way down.
_FMNIST_NANO_5K = Architecture("strianet-fmnist-nano-5k", 28, (
    Layer("stem", "image", 1, 64, kernel=7, stride=4, padding=2, repeat=16),
    Layer("down", "stem", 64, 128, kernel=3, stride=2, groups=4, repeat=8),
    Layer("s1.cross", "down", 128, 128, kernel=3, cross=True, padding=1,
          groups=8, shuffle=4, skip="down", repeat=8),
    Layer("fc", "s1.cross", 128, 10, pool=True, relu=False, repeat=16),
))


def _nano(name, width, down, last, repeats):
    """A stem of 32 channels, a strided layer to `width` channels in `down` groups, and a full
    one in `last` groups with a residual sum if `last` is not None."""
    layers = [
        Layer("stem", "image", 1, 32, kernel=7, stride=4, padding=2),
        Layer("down", "stem", 32, width, kernel=3, stride=2, groups=down),
    ]
    if last:
        layers.append(Layer("s1", "down", width, width, kernel=3, padding=1, groups=last,
                            shuffle=down, skip="down"))
    layers.append(Layer("fc", layers[-1].name, width, 10, pool=True, relu=False))
    return Architecture(name, 28, tuple(replace(layer, repeat=repeat)
                                        for layer, repeat in zip(layers, repeats, strict=True)))


_FMNIST_NANO = _nano("strianet-fmnist-nano", 128, 2, 4, (16, 16, 8, 16))
# Tried for ten epochs against it.
_NANOS = [
    _nano("nano-g4-g8", 128, 4, 8, (16, 16, 8, 16)),
    _nano("nano-256", 256, 4, None, (16, 16, 16)),
]

_ENTRIES = [
    Entry(_C10, CIFAR10, epochs=80, label_smoothing=0.1, hole=8, shift=10,
          samples="samples", samples_per_class=2),
    Entry(_C10_MICRO, CIFAR10, epochs=40, label_smoothing=0.1, hole=0, shift=10,
          samples="samples-micro", samples_per_class=2),
    Entry(_FMNIST_NANO, FASHION_MNIST, epochs=30, label_smoothing=0.0, hole=0, shift=8,
          samples="samples-fmnist", samples_per_class=1),
    Entry(_C10_BLOCK, CIFAR10, epochs=48, label_smoothing=0.1, hole=0, shift=8,
          samples="samples-block", samples_per_class=2),
    Entry(_FMNIST_NANO_5K, FASHION_MNIST, epochs=24, label_smoothing=0.0, hole=0, shift=8,
          samples="samples-fmnist-5k", samples_per_class=1),
    Entry(_TINY_IMAGENET, class_folder.TINY_IMAGENET, epochs=60, label_smoothing=0.1, hole=16,
          shift=8, samples="samples-tiny-imagenet", samples_per_class=1),
    Entry(_IMAGENET, class_folder.IMAGENET, epochs=60, label_smoothing=0.1, hole=0, shift=8,
          samples="samples-imagenet", samples_per_class=1),
    *(Entry(candidate, CIFAR10, epochs=3, label_smoothing=0.1, hole=8, shift=10,
            samples="samples", samples_per_class=2) for candidate in _CANDIDATES),
    *(Entry(candidate, FASHION_MNIST, epochs=12, label_smoothing=0.0, hole=0, shift=10,
            samples="samples-fmnist", samples_per_class=1) for candidate in _NANOS),
]
CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def add_option(parser):
    """The option that chooses the network; find(options) gives its entry."""
    parser.add_argument("--network", choices=list(CATALOGUE), default=_ENTRIES[0].name)
    parser.add_argument("--data", type=Path, metavar="FOLDER",
                        help="where the data set is, for those that cannot be fetched")


def find(options):
    entry = CATALOGUE[options.network]
    if options.data:
        entry = replace(entry, dataset=class_folder.at(entry.dataset, options.data))
    return entry
