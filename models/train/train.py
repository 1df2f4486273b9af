"""Trains the network in floating point; stops and resumes at epoch boundaries.

SGD with Nesterov momentum, or Muon for the weights of hidden layers, linear warm-up, then a
cosine to zero; the network that is kept is a running average of the weights. A penalty on
large pre-activations keeps them inside the range that the integers have. A larger network,
trained by this script, can be the teacher. A GPU is used if there is one.
"""

import argparse
import copy
import math
import os
import time

import numpy as np
import torch
from torch.nn import functional as F

import catalogue
import dataset
from muon import Muon
from network import StriaNet

SEED = 1
BATCH = 128
PEAK_RATE = 0.2
WARM_UP = 0.15
MOMENTUM = 0.9
MUON_RATE = 0.02  # at the peak, for batches of 128
WEIGHT_DECAY = 5e-4
# Pre-activations beyond this are penalised, on every few steps to save time.
COMFORTABLE = 9.0
PENALTY = 0.05
PENALTY_EVERY = 4
LARGEST_GRADIENT = 2.0
# The last part of training has the ReLU that the two-party protocol has when it compares
# 8 bits: positives up to 2^-7 of the range become 0 with a probability that falls to 0.
SHARED_FROM = 0.9
SMALL = 0.1
AVERAGE_STEPS = 500  # the average forgets at this rate
# What a teacher says is softened by the temperature, and has this share of the loss.
TEMPERATURE = 2.0
TEACHER_SHARE = 0.7

CHECKPOINTS = dataset.WORK / "checkpoints"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def rate(progress):
    """The learning rate, of the peak's."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def to_input(images, data):
    """Normalised NCHW pixels in channels-last memory, from uint8 [n, side, side, 3]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(DEVICE).float()
    mean, std = (torch.tensor(values, device=DEVICE) for values in (data.mean, data.std))
    return ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)


class Optimisers:
    """SGD for all parameters, or for those that Muon does not take."""

    def __init__(self, network, muon):
        hidden = [module for module in network.layers if muon and module.layer.relu]
        taken = [module.convolution.weight for module in hidden]
        rest = [p for p in network.parameters() if not any(p is other for other in taken)]
        decayed, plain = ([p for p in rest if (p.dim() > 1) == many] for many in (True, False))
        self.all = [torch.optim.SGD([{"params": decayed, "weight_decay": WEIGHT_DECAY},
                                     {"params": plain, "weight_decay": 0.0}],
                                    lr=PEAK_RATE, momentum=MOMENTUM, nesterov=True)]
        self.peaks = [PEAK_RATE]
        if muon:
            groups = [{"params": [weight], "groups": module.layer.groups}
                      for weight, module in zip(taken, hidden)]
            self.all.append(Muon(groups, lr=MUON_RATE, momentum=MOMENTUM))
            self.peaks.append(MUON_RATE)

    def step(self, part):
        """A step at this part of the peak rates."""
        for optimiser, peak in zip(self.all, self.peaks):
            for group in optimiser.param_groups:
                group["lr"] = peak * part
            optimiser.step()

    def state_dict(self):
        return [optimiser.state_dict() for optimiser in self.all]

    def load_state_dict(self, states):
        for optimiser, state in zip(self.all, states, strict=True):
            optimiser.load_state_dict(state)


def shared_relu(y):
    return y * (y > SMALL * torch.rand_like(y))


class Average:
    """The running average of a network's weights and statistics."""

    def __init__(self, network):
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.steps = 0

    @torch.no_grad()
    def update(self, network):
        self.steps += 1
        weight = 1 / min(self.steps, AVERAGE_STEPS)
        floats = [(mine, other) for mine, other
                  in zip(self.network.state_dict().values(), network.state_dict().values())
                  if mine.is_floating_point()]
        torch._foreach_lerp_(*zip(*floats), weight)


class RangePenalty:
    """The excess of pre-activations over the comfortable range, summed per image.

    It is linear: the gradient of a square runs away at the peak learning rate.
    """

    def __init__(self):
        self.total = 0.0
        self.largest = 0.0

    def __call__(self, layer, y):
        if layer.relu:
            self.total = self.total + F.relu(y.abs() - COMFORTABLE).float().sum() / len(y)
        self.largest = max(self.largest, y.detach().abs().max().item())


class Pictures:
    """The training images, in a new view every second epoch.

    The two epochs of a view mirror each other. With a teacher there are only so many views,
    since its answers are kept.
    """

    def __init__(self, entry, views=None, to_tensor=to_input):
        self.entry, self.views, self.to_tensor = entry, views, to_tensor
        images, self.labels = entry.dataset.load("train")
        self.padded = entry.dataset.pad(images)
        self.colour = np.rint(255 * np.array(entry.dataset.mean)).astype(np.uint8)
        self.flips = np.random.default_rng(SEED).integers(0, 2, len(self.labels))

    def number(self, epoch):
        return epoch // 2 % self.views if self.views else epoch // 2

    def view(self, number):
        data = self.entry.dataset
        return dataset.View(len(self.labels), data.side + 2 * data.margin,
                            self.entry.architecture.side, data.zoom, self.entry.hole,
                            np.random.default_rng([SEED, number]))

    def batches(self, epoch):
        """Indices and network inputs of every batch."""
        view, flips = self.view(self.number(epoch)), (self.flips + epoch) % 2
        order = np.random.default_rng([SEED, epoch]).permutation(len(self.labels))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[first:first + BATCH]
            yield chosen, self.input(view, chosen, flips[chosen])

    def input(self, view, chosen, flips):
        images = view.images(self.padded, chosen, flips, self.colour)
        return self.to_tensor(images, self.entry.dataset)


class Teacher:
    """The logits of a trained network for every view, the mean of the view's two sides."""

    def __init__(self, run, pictures):
        self.pictures = pictures
        state = torch.load(CHECKPOINTS / f"{run}.pt", map_location=DEVICE)
        self.network = StriaNet(catalogue.CATALOGUE[state["name"]].architecture).to(DEVICE)
        self.network.load_state_dict(state["network"])
        self.network.eval()
        # What it says is kept under the name of this very checkpoint.
        self.name = f"{run}-{state['epoch']}-{state['validation']:.4f}"

    @torch.no_grad()
    def logits(self, epoch):
        number = self.pictures.number(epoch)
        path = CHECKPOINTS / f"{self.name}.hole-{self.pictures.entry.hole}.{number}.npy"
        if not path.is_file():
            view, said = self.pictures.view(number), []
            for chosen in np.array_split(np.arange(len(self.pictures.labels)), 180):
                sides = [self.network(self.pictures.input(view, chosen, np.full(len(chosen), flip)))
                         for flip in (0, 1)]
                said.append((sum(sides) / 2).cpu().numpy())
            scratch = path.with_suffix(".tmp.npy")
            np.save(scratch, np.concatenate(said))
            os.replace(scratch, path)
        return torch.from_numpy(np.load(path)).to(DEVICE)


def loss_of(logits, labels, taught, smoothing):
    """Cross entropy, for the most part with what the teacher says, if there is one."""
    if taught is None:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    soft = F.kl_div(F.log_softmax(logits / TEMPERATURE, 1),
                    F.log_softmax(taught / TEMPERATURE, 1),
                    reduction="batchmean", log_target=True)
    hard = F.cross_entropy(logits, labels)
    return TEACHER_SHARE * TEMPERATURE ** 2 * soft + (1 - TEACHER_SHARE) * hard


def train_epoch(network, average, entry, optimisers, pictures, teacher, epoch, epochs, bf16):
    network.train()
    labels = torch.from_numpy(pictures.labels).to(DEVICE)
    taught = teacher.logits(epoch) if teacher else None
    steps = len(labels) // BATCH
    loss_sum, norm_sum, largest = 0.0, 0.0, 0.0
    for step, (chosen, images) in enumerate(pictures.batches(epoch)):
        progress = (epoch + step / steps) / epochs
        relu = F.relu if progress < SHARED_FROM else shared_relu
        penalty = RangePenalty() if step % PENALTY_EVERY == 0 else None
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
            logits = network(images, penalty, relu)
        loss = loss_of(logits.float(), labels[chosen], taught[chosen] if teacher else None,
                       entry.label_smoothing)
        loss_sum += loss.item()
        if penalty:
            loss = loss + PENALTY * PENALTY_EVERY * penalty.total
            largest = max(largest, penalty.largest)
        network.zero_grad(set_to_none=True)
        loss.backward()
        norm_sum += torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT,
                                                   error_if_nonfinite=True).item()
        optimisers.step(rate(progress))
        average.update(network)
    return loss_sum / steps, norm_sum / steps, largest


@torch.no_grad()
def accuracy(network, data, images, labels, bf16=False):
    network.eval()
    side = network.architecture.side
    right = 0
    for first in range(0, len(labels), 500):
        batch = to_input(dataset.top_left(images[first:first + 500], side), data)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
            guess = network(batch).argmax(1)
        right += (guess.cpu().numpy() == labels[first:first + 500]).sum()
    return float(right / len(labels))


def save(path, **state):
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    torch.save(state, scratch)
    os.replace(scratch, path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("--epochs", type=int, help="the network's own number by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true",
                        help="faster where convolutions are small or grouped, or with AMX")
    parser.add_argument("--run", help="name of the checkpoint, the network's by default")
    parser.add_argument("--sgd", action="store_true", help="without Muon")
    parser.add_argument("--teacher", metavar="RUN",
                        help="learn from the network of this checkpoint")
    parser.add_argument("--views", type=int, default=8,
                        help="different crops of every image that the teacher sees")
    options = parser.parse_args(arguments)
    entry = catalogue.find(options)
    epochs = options.epochs or entry.epochs

    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    pictures = Pictures(entry, options.views if options.teacher else None)
    teacher = Teacher(options.teacher, pictures) if options.teacher else None
    validation = entry.dataset.load("validation")

    network = StriaNet(entry.architecture).to(DEVICE, memory_format=torch.channels_last)
    optimisers = Optimisers(network, not options.sgd)
    checkpoint = CHECKPOINTS / f"{options.run or entry.name}.pt"
    first, state = 0, None
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location=DEVICE)
        if state["epochs"] != epochs:
            raise SystemExit(f"{checkpoint} has a schedule of {state['epochs']} epochs: give "
                             "--epochs, or another --run")
        optimisers.load_state_dict(state["optimiser"])
        first = state["epoch"]
        print(f"resuming after epoch {first}", flush=True)
        network.load_state_dict(state["trained"])
    average = Average(network)
    if state:
        average.network.load_state_dict(state["network"])
        average.steps = state["steps"]

    for epoch in range(first, epochs):
        started = time.time(), time.process_time()
        torch.manual_seed(SEED + epoch)  # the same wherever the run was cut
        loss, norm, largest = train_epoch(network, average, entry, optimisers, pictures, teacher,
                                          epoch, epochs, options.bf16)
        right = accuracy(average.network, entry.dataset, *validation, options.bf16)
        save(checkpoint, name=entry.name, network=average.network.state_dict(),
             trained=network.state_dict(), optimiser=optimisers.state_dict(),
             steps=average.steps, epoch=epoch + 1, epochs=epochs, validation=right)
        print(f"epoch {epoch + 1}/{epochs} loss {loss:.4f} validation {right:.4f} "
              f"gradient {norm:.2f} largest {largest:.1f} {time.time() - started[0]:.0f} s, "
              f"processor {time.process_time() - started[1]:.0f} s",
              flush=True)


if __name__ == "__main__":
    main()
