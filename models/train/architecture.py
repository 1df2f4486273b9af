"""The public architecture: one list of layers that training, quantisation and
the integer executor all follow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    name: str
    input: str          # the layer (or "image") whose output this one reads
    c_in: int
    c_out: int
    kernel: int = 1
    cross: bool = False   # only the five taps of a plus
    stride: int = 1
    padding: int = 0
    groups: int = 1
    shuffle: int = 1      # groups of the channel shuffle of the input, 1 for none
    pool: bool = False    # sum over all positions first
    skip: str | None = None  # the layer added before the ReLU
    relu: bool = True


def _block(name, source, channels, middle, groups, source_groups):
    return [
        Layer(f"{name}.reduce", source, channels, middle,
              groups=groups, shuffle=source_groups),
        Layer(f"{name}.cross", f"{name}.reduce", middle, middle, kernel=3, cross=True,
              padding=1, groups=groups, shuffle=groups),
        Layer(f"{name}.expand", f"{name}.cross", middle, channels,
              groups=groups, shuffle=groups, skip=source),
    ]


LAYERS = [
    Layer("stem", "image", 3, 64, kernel=3, stride=2),
    *_block("s1b1", "stem", 64, 32, groups=4, source_groups=1),
    Layer("down1", "s1b1.expand", 64, 128, kernel=3, stride=2, groups=4, shuffle=4),
    *_block("s2b1", "down1", 128, 64, groups=8, source_groups=4),
    *_block("s2b2", "s2b1.expand", 128, 64, groups=8, source_groups=8),
    *_block("s2b3", "s2b2.expand", 128, 64, groups=8, source_groups=8),
    Layer("down2", "s2b3.expand", 128, 256, kernel=3, stride=2, groups=8, shuffle=8),
    *_block("s3b1", "down2", 256, 256, groups=16, source_groups=8),
    Layer("fc", "s3b1.expand", 256, 10, pool=True, relu=False),
]


def shuffled(channels, groups):
    """The channel order of a shuffle: place a*groups + b takes channel b*(channels/groups) + a."""
    rows = channels // groups
    return [b * rows + a for a in range(rows) for b in range(groups)]
