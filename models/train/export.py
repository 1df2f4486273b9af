"""Writes the model file from a checkpoint and reports its accuracy on the validation split."""

import argparse
from pathlib import Path

import torch

import dataset
import integer
import model_file
from network import StriaNet
from calibrate import calibrated_model
from train import CHECKPOINTS, accuracy


def load(run):
    """The trained network of a checkpoint, and the rest of the checkpoint."""
    state = torch.load(CHECKPOINTS / f"{run}.pt")
    network = StriaNet()
    network.load_state_dict(state["network"])
    return network.eval(), state


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="main", help="name of the checkpoint")
    parser.add_argument("--output", type=Path, default=model_file.SHIPPED)
    options = parser.parse_args()

    torch.set_num_threads(1)
    network, state = load(options.run)
    model_file.write(options.output, *calibrated_model(network))
    model = model_file.read(options.output)
    for layer in model[0]["layers"]:
        weight = model[1][layer["name"]]
        print(f"{layer['name']:12} weights {weight.min():6} .. {weight.max():5}  "
              f"max_abs {layer['max_abs']}")
    validation = dataset.load("validation")
    print(f"epoch {state['epoch']} of {state['epochs']}")
    print(f"validation, float:   {accuracy(network, *validation, bf16=False):.4f}")
    print(f"validation, integer: {integer.accuracy(model, *validation):.4f}")


if __name__ == "__main__":
    main()
