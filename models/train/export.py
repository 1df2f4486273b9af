"""Writes the model file from a checkpoint and reports its accuracy on the validation split."""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

import catalogue
import integer
import model_file
from network import StriaNet
from calibrate import calibrated_model
from quantise import description
from train import CHECKPOINTS, accuracy


def load(entry, run=None):
    """The trained network of a checkpoint, by default the one with its name, and the rest of it."""
    state = torch.load(CHECKPOINTS / f"{run or entry.name}.pt", map_location="cpu")
    network = StriaNet(entry.architecture)
    network.load_state_dict(state["network"])
    return network.eval(), state


def write_float(path, network, entry):
    """The float checkpoint and its architecture, for `stria import` (docs/import.md): PATH with
    the tensors as PyTorch names them, and beside it the same name with .json."""
    architecture = description(entry, logit_scale=None)
    del architecture["logit_scale"]
    for layer in architecture["layers"]:
        del layer["max_abs"]
        if layer["skip"]:
            del layer["skip"]["factor"]
    save_file(network.state_dict(), path)
    path.chmod(0o644)
    path.with_suffix(".json").write_text(json.dumps(architecture, indent=1) + "\n")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    catalogue.add_option(parser)
    parser.add_argument("--run", help="name of the checkpoint, the network's by default")
    parser.add_argument("--output", type=Path, help="the network's model file by default")
    parser.add_argument("--float", type=Path, metavar="FILE",
                        help="write the float checkpoint there, its architecture beside it as "
                             ".json, and no model file")
    options = parser.parse_args(arguments)
    entry = catalogue.find(options)
    output = options.output or entry.model_file

    torch.set_num_threads(1)
    network, state = load(entry, options.run)
    if options.float:
        write_float(options.float, network, entry)
        return
    model_file.write(output, *calibrated_model(network, entry))
    model = model_file.read(output)
    for layer in model[0]["layers"]:
        weight = model[1][layer["name"]]
        print(f"{layer['name']:12} weights {weight.min():6} .. {weight.max():5}  "
              f"max_abs {layer['max_abs']}")
    validation = entry.dataset.load("validation")
    print(f"epoch {state['epoch']} of {state['epochs']}")
    in_float = accuracy(network, entry.dataset, *validation, bf16=False)
    print(f"validation, float:   {in_float:.4f}")
    print(f"validation, integer: {integer.accuracy(model, *validation):.4f}")


if __name__ == "__main__":
    main()
