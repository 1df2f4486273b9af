"""Draws the finished networks of results.csv: accuracy against activations and against bytes. The
best run of each network has its name."""

import csv

import matplotlib
from matplotlib import pyplot

from catalogue import MODELS
from record import RESULTS

COSTS = {"activations": ("activations", 1e3, "thousand activations"),
         "bytes": ("bytes", 1e6, "MB an inference (k_s = 4, h = 8)")}


def main():
    matplotlib.use("Agg")
    with RESULTS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["integer"]]
    for name, (column, unit, label) in COSTS.items():
        figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
        for data in sorted({row["data"] for row in rows}):
            chosen = [row for row in rows if row["data"] == data]
            x = [int(row[column]) / unit for row in chosen]
            y = [100 * float(row["integer"]) for row in chosen]
            axes.scatter(x, y, label=data)
            for network in sorted({row["network"] for row in chosen}):
                runs = [run for run in zip(y, x, chosen) if run[2]["network"] == network]
                top, place, row = max(runs, key=lambda run: run[0])
                text = f"{network}: {top:.1f} %\n{row['epoch']} epochs, {row['how']}"
                axes.annotate(text, (place, top), fontsize=6, xytext=(4, 0), va="center",
                              textcoords="offset points")
        axes.set(xlabel=label, ylabel="top-1 on the validation split, integers, %")
        axes.set_xlim(0, 1.6 * max(int(row[column]) / unit for row in rows))  # room for the names
        axes.legend(loc="center")
        figure.savefig(MODELS / f"accuracy-{name}.png", dpi=150)


if __name__ == "__main__":
    main()
