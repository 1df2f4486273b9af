"""Muon: momentum whose update of every matrix is replaced by the nearest semi-orthogonal one.

A convolution of g groups is g matrices. The weights keep their size: batch normalisation
follows, so that only their direction counts, and the rate is the relative size of a step.
"""

import torch

# The odd polynomial that takes singular values in (0, 1] to about 1 when iterated
# (K. Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024).
CUBIC = 3.4445, -4.7750, 2.0315
ITERATIONS = 4


def orthogonalised(matrices):
    """The semi-orthogonal matrices near [g, rows, columns], roughly."""
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    a, b, c = CUBIC
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """For the weights of grouped convolutions: parameter groups have "groups", too."""

    def __init__(self, parameters, lr, momentum):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "groups": 1})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                self._update(weight, group)

    def _update(self, weight, group):
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        moving = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
        ahead = weight.grad.lerp(moving, group["momentum"])  # Nesterov
        # Contiguous, since the weights may be channels-last.
        matrices = ahead.contiguous().view(group["groups"], len(weight) // group["groups"], -1)
        size = len(weight) ** 0.5
        weight.mul_(size / weight.norm())
        update = orthogonalised(matrices).view(weight.shape)
        weight.sub_(update, alpha=group["lr"] * size / update.norm().item())
