"""The network in floating point, with batch normalisation, as it is trained."""

import torch
from torch import nn
from torch.nn import functional as F

from architecture import shuffled

PLUS = torch.tensor([[0., 1., 0.], [1., 1., 1.], [0., 1., 0.]])


class ConvolutionLayer(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.convolution = nn.Conv2d(layer.c_in, layer.c_out, layer.kernel, layer.stride,
                                     layer.padding, groups=layer.groups, bias=not layer.relu)
        self.norm = nn.BatchNorm2d(layer.c_out) if layer.relu else None
        with torch.no_grad():
            if layer.cross:
                # The masked corners bring no variance: widen what is left.
                self.convolution.weight.mul_((9 / 5) ** 0.5)
            if layer.skip:
                # A block starts near the identity.
                self.norm.weight.fill_(0.3)
        self.register_buffer("mask", PLUS if layer.cross else None, persistent=False)

    def weight(self):
        weight = self.convolution.weight
        return weight * self.mask if self.layer.cross else weight

    def forward(self, x, skip=None):
        layer = self.layer
        if layer.shuffle > 1:
            x = F.channel_shuffle(x, layer.shuffle)
        if layer.pool:
            x = x.mean((2, 3), keepdim=True)
        y = F.conv2d(x, self.weight(), self.convolution.bias, layer.stride,
                     layer.padding, groups=layer.groups)
        if self.norm is not None:
            y = self.norm(y)
        return y if skip is None else y + skip


class StriaNet(nn.Module):
    def __init__(self, architecture):
        super().__init__()
        self.architecture = architecture
        self.layers = nn.ModuleList(ConvolutionLayer(layer) for layer in architecture.layers)

    def forward(self, image, observe=None, relu=F.relu):
        """The logits; observe(layer, y), if given, sees every pre-activation."""
        outputs = {"image": image}
        for module in self.layers:
            layer = module.layer
            y = module(outputs[layer.input], outputs.get(layer.skip))
            if observe is not None:
                observe(layer, y)
            outputs[layer.name] = relu(y) if layer.relu else y
        return y.flatten(1)


assert shuffled(6, 2) == torch.arange(6).view(2, 3).t().flatten().tolist()
