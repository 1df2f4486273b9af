"""The public architecture of a network: one list of layers that training,
quantisation and the integer executor all follow."""

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
    repeat: int | None = None  # how often channels are packed, if the planner shall not choose


@dataclass(frozen=True)
class Architecture:
    name: str
    side: int             # of the map that the network sees
    layers: tuple[Layer, ...]

    @property
    def last(self):
        return self.layers[-1]

    def stream(self, name):
        """The layers joined to this one by skip connections, itself included."""
        sources = {layer.name: layer.skip for layer in self.layers if layer.skip}

        def root(member):
            return root(sources[member]) if member in sources else member

        return [layer.name for layer in self.layers if root(layer.name) == root(name)]

    def input_side(self, layer):
        """The side of the map that a layer reads."""
        if layer.input == "image":
            return self.side
        source = next(other for other in self.layers if other.name == layer.input)
        return self.output_side(source)

    def output_side(self, layer):
        """The side of the map that a layer produces."""
        if layer.pool:
            return 1
        reach = self.input_side(layer) + 2 * layer.padding - layer.kernel
        return reach // layer.stride + 1


def shuffled(channels, groups):
    """The channel order of a shuffle: place a*groups + b takes channel b*(channels/groups) + a."""
    rows = channels // groups
    return [b * rows + a for a in range(rows) for b in range(groups)]
