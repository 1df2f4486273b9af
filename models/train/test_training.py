"""The whole path, training to model file, with random pictures; and its parts.

python -m unittest test_training (a minute)
"""

import contextlib
import io
import json
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

import catalogue
import class_folder
import evaluate
import export
import finetune
import integer
import model_file
import train
from architecture import Architecture, Layer
from calibrate import calibrated_model
from dataset import Dataset
from muon import orthogonalised
from network import StriaNet
from shared_relu import SharedRelu

RNG = np.random.default_rng(0)


def random_folder(folder, classes, per_class, count, size):
    """`classes` class folders, the first `count` of them with pictures, one level further down."""
    for part, pictures in (("train", per_class), ("val", 1)):
        for label in range(classes):
            place = folder / part / f"n{label:04}" / "images"
            place.mkdir(parents=True)
            for i in range(pictures if label < count else 0):
                pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{i}.JPEG")


def random_data(side, count=600):
    """Ten classes in memory, with `train` only."""
    images = RNG.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = RNG.integers(0, 10, count)

    def read(part):
        assert part == "train", "training and calibration have no business with test images"
        return images, labels

    return Dataset("random", tuple("0123456789"), (0.5,) * 3, (0.3,) * 3, side, margin=2,
                   margin_mode="reflect", read=read, validation=60)


def small_entry():
    layers = (
        Layer("stem", "image", 3, 16, kernel=3, stride=2),
        Layer("cross", "stem", 16, 16, kernel=3, cross=True, padding=1, groups=4, skip="stem"),
        Layer("down", "cross", 16, 32, kernel=3, stride=2, groups=2, shuffle=4),
        Layer("fc", "down", 32, 10, pool=True, relu=False),
    )
    entry = catalogue.CATALOGUE["strianet-c10-micro"]
    return replace(entry, architecture=Architecture("small", 15, layers),
                   dataset=random_data(16), hole=4)


def cut_after_one(train_epoch):
    """train_epoch, but somebody stops the program in the second epoch."""
    calls = []

    def cut(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    return cut


class Commands(unittest.TestCase):
    """Runs the scripts in a folder of their own."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.multiple(train, CHECKPOINTS=self.folder, BATCH=8))
        self.enterContext(mock.patch.object(export, "CHECKPOINTS", self.folder))
        self.output = self.enterContext(contextlib.redirect_stdout(io.StringIO()))

    def check_network(self, name, classes, size):
        random_folder(self.folder / "data", classes, per_class=1, count=20, size=size)
        model = self.folder / "model.safetensors"
        common = ["--network", name, "--data", str(self.folder / "data")]
        whole = [*common, "--epochs", "2"]
        with mock.patch.object(train, "train_epoch", cut_after_one(train.train_epoch)), \
                self.assertRaises(KeyboardInterrupt):
            train.main(whole)
        train.main(whole)
        self.assertIn("resuming after epoch 1", self.output.getvalue())
        with self.assertRaisesRegex(SystemExit, "schedule of 2 epochs"):
            train.main([*common, "--epochs", "3"])
        export.main([*common, "--output", str(model)])
        evaluate.main([*common, "--model", str(model), "--split", "test", "--h", "8"])
        description, weights, _ = model_file.read(model)
        self.assertEqual(len(description["classes"]), classes)
        self.assertEqual(weights["fc"].shape[0], classes)

    def test_tiny_imagenet(self):
        self.check_network("strianet-tiny-imagenet", 200, (64, 64))

    def test_imagenet(self):
        self.check_network("strianet-imagenet", 1000, (300, 280))

    def test_a_teacher_and_fine_tuning_without_test_images(self):
        entry = small_entry()
        model = self.folder / "model.safetensors"
        with mock.patch.dict(catalogue.CATALOGUE, small=entry, other=entry), \
                mock.patch.object(finetune, "BATCH", 8):
            train.main(["--network", "small", "--epochs", "1"])
            train.main(["--network", "small", "--epochs", "1", "--teacher", "small", "--run", "b"])
            finetune.main(["--network", "small", "--epochs", "1", "--output", str(model)])
        self.assertIn("after: integer", self.output.getvalue())

    def test_logits_of_another_program_are_compared_to_the_last_bit(self):
        entry = small_entry()
        model, logits = self.folder / "model.safetensors", self.folder / "logits.jsonl"
        network = StriaNet(entry.architecture).eval()
        model_file.write(model, *calibrated_model(network, entry))
        images = entry.dataset.load("validation")[0][:, :15, :15]
        rows = integer.logits(model_file.read(model), images).tolist()
        common = ["--network", "small", "--model", str(model), "--logits", str(logits)]

        def compare(rows):
            lines = [json.dumps({"image": f"a-class/{i:05}", "label": 0, "logits": row})
                     for i, row in enumerate(rows)]
            logits.write_text("\n".join(lines) + "\n")
            with mock.patch.dict(catalogue.CATALOGUE, small=entry):
                evaluate.main(common)

        compare(rows)
        self.assertIn("60 images: the logits of 0 differ", self.output.getvalue())
        with self.assertRaisesRegex(SystemExit, "59"):
            compare(rows[:-1])
        rows[7][3] += 1
        with self.assertRaisesRegex(SystemExit, "7"):
            compare(rows)


class Parts(unittest.TestCase):
    def test_the_splits_of_a_folder_are_apart_and_mixed(self):
        with tempfile.TemporaryDirectory() as folder:
            random_folder(Path(folder), 4, per_class=25, count=4, size=(70, 66))
            data = class_folder.at(class_folder.class_folder("x", 4, 64, 1.0), folder)
            (images, labels), (held, held_labels) = data.load("train"), data.load("validation")
            test, _ = data.load_test()
            self.assertFalse(set(images.paths) & set(held.paths))
            self.assertTrue(all("val" in path.parts for path in test.paths))
            self.assertEqual((len(images), len(held), len(test)), (90, 10, 4))
            self.assertEqual(np.asarray(held).shape, (10, 64, 64, 3))
            self.assertEqual(set(labels), set(range(4)))
            self.assertGreater(len(set(held_labels)), 1)
            self.assertEqual(images[3].shape, (64, 64, 3))

    def test_fine_tuning_computes_what_the_integer_executor_does(self):
        entry = small_entry()
        torch.manual_seed(0)
        network = StriaNet(entry.architecture).eval()
        model = calibrated_model(network, entry)
        scales = finetune.scales_of(network, entry)
        tuned = finetune.IntegerNetwork(network, entry, scales, 8)
        images = entry.dataset.load("train")[0][:20, :15, :15]

        def plain(y, shift, h):
            return torch.clamp(torch.floor(y / (1 << shift)), min=0)

        with mock.patch.object(finetune, "shared_relu", plain), torch.no_grad():
            logits, _ = tuned(finetune.to_integers(images, entry.dataset))
        expected = integer.logits(tuned.model(entry), images)
        self.assertEqual((logits * tuned.logit_scale).long().tolist(), expected.tolist())
        self.assertEqual(model[0]["layers"][0]["name"], "stem")

    def test_both_simulations_of_the_relu_agree_in_distribution(self):
        y = RNG.integers(-(1 << 18), 1 << 18, 200000)
        ours = finetune.shared_relu(torch.from_numpy(y).float(), 10, 8).numpy()
        theirs = SharedRelu(8)(y, 10)
        exact = np.maximum(0, y >> 10)
        for value in (ours, theirs):
            self.assertTrue(np.all((np.abs(value - exact) <= 1) | (value == 0)))
        self.assertLess(abs(ours.mean() - theirs.mean()), 0.05)
        self.assertLess(abs((ours == exact).mean() - (theirs == exact).mean()), 0.01)

    def test_a_comparison_takes_no_more_bits_than_there_are(self):
        with self.assertRaises(ValueError):
            SharedRelu(11)(np.zeros(1, np.int64), 10)
        with self.assertRaises(ValueError):
            finetune.shared_relu(torch.zeros(1), 10, 11)

    def test_muon_makes_updates_nearly_orthogonal(self):
        torch.manual_seed(0)
        for shape in ((3, 16, 40), (3, 40, 16)):
            values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
            self.assertTrue(torch.all((values > 0.5) & (values < 1.5)), values)


if __name__ == "__main__":
    unittest.main()
