"""Axes in words, by a small captioner: where the truth is planted, and on a published VAE.

    python examples/latent_words.py --output docs/results

``LatentDescription`` with ``ToyCaptioner`` describes two models. *Planted*: a renderer of one shape
whose first five codes are x, y, size, angle and shape and whose sixth does nothing, and the same
seen along axes that mix two of the five at 45 degrees. *dSprites VAE* (Burgess et al. 2018, weights
of Dubois et al. 2019): its ten dimensions, from codes of shapes drawn here; beside each sentence
stands how strongly the dimension is correlated with what was drawn, which the captioner does not
see. A describer that always says the same fluent sentence goes through the same questions, and has
to stay unconfirmed. Published weights that are not beside the repository are left out, and named.

What this proves is the course of the questions, not the prompts: the captioner reads only the
heading of a prompt. No language model of others was asked. It takes about three minutes of one
core.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from family_models.shapes_vae import build, shapes
from inside import moments
from matplotlib.figure import Figure
from planted_shapes import ATTRIBUTES, DIRECTIONS, FACTORS, PlantedShapes, factors, mixture

from pxgen_plugins.adapters import LatentDescription
from pxgen_plugins.axes import Axis
from pxgen_plugins.describers import Scripted, ToyCaptioner
from pxgen_plugins.evaluation import attribute_scores
from pxgen_plugins.plots import plot_descriptions
from pxgen_plugins.utils.files import plain, write_atomic
from pxgen_plugins.utils.text import markdown_table

_log = logging.getLogger("latent_words")
LIAR = {
    "changes": True,
    "attribute": "size",
    "direction": "larger",
    "sentence": "The object gradually becomes larger and more prominent.",
    "confidence": 0.97,
}
ASKED = ("clear", "unclear")
LETTERS = [{"choice": letter} for letter in "ABCD"]


def describe(
    model: Any, describer: Any, sizes: Mapping[str, int], axes: Sequence[Axis] | None, X: Any = None
) -> tuple[dict[str, Any], Any]:
    """Return what is said of every axis, and the explanation."""
    adapter = LatentDescription(
        model, describer, None if axes is None else list(axes), context="one shape", **sizes
    )
    found = adapter.fit(X).explain(X)
    rows = {
        label: {
            name: getattr(found, name)[u]
            for name in (
                *("sentence", "attribute", "direction", "status", "confirmed", "certainty"),
                *("p_value", "hit_rate", "hit_interval", "control_rate", "visible_change"),
            )
        }
        for u, label in enumerate(found.axes)
    }
    names = ("threshold", "least", "chance", "n_calls", "n_images")
    about = {name: getattr(found, name) for name in names}
    return {"axes": rows, **about, "n_match": int(found.n_match.max())}, found


def planted(sizes: Mapping[str, int]) -> tuple[dict[str, Any], Any]:
    """Return what is said of the renderer: of its factors, of mixtures, and by a liar."""
    model, pure = PlantedShapes(), factors()
    found, explanation = describe(model, ToyCaptioner(), sizes, pure)
    truth: dict[str, Any] = dict.fromkeys(FACTORS)
    truth |= dict(zip(FACTORS[:5], zip(ATTRIBUTES, DIRECTIONS, strict=True), strict=False))
    found["scores"] = attribute_scores(explanation, truth, confirmed=True)
    mixtures = [mixture(i, j) for i, j in combinations(range(5), 2)]
    mixed, _ = describe(model, ToyCaptioner(), sizes, mixtures)
    liar = Scripted({"describe": LIAR, "match": LETTERS})
    said, _ = describe(model, liar, sizes, pure)
    return {"pure": found, "mixed": mixed, "liar": said}, explanation


def sprites(sizes: Mapping[str, int], n: int) -> tuple[dict[str, Any], Any]:
    """Return what is said of the published VAE, with the correlations of its codes."""
    model, pictures = build().model, shapes(n, 7)
    found, explanation = describe(model, ToyCaptioner(), sizes, None, pictures)
    x = torch.from_numpy(pictures)
    with torch.no_grad():
        codes = torch.cat([model.encode(part)[0] for part in torch.split(x, 100)]).double().numpy()
    area, right, down, _ = (value.double().numpy() for value in moments(x))
    truth = {"right": right, "down": down, "larger": area}
    for j, row in enumerate(found["axes"].values()):
        row["correlations"] = {
            name: float(np.corrcoef(codes[:, j], value)[0, 1]) for name, value in truth.items()
        }
    return found, explanation


def markdown(results: Mapping[str, Any]) -> str:
    """Return the tables."""
    shown = results["planted"]
    pure = shown["pure"]
    lines = [
        "# Axes in words",
        "",
        "Written by `python examples/latent_words.py`; its docstring says what is measured.",
        "",
        "**What this proves, and what not.** The describer is `ToyCaptioner`, a network of 47,897",
        "parameters that knows drawn shapes and reads only the heading of a prompt. So the course",
        "of the questions is proved (gate, null films, match test), with real mistakes of a real",
        "network. The prompts were not tried on a commercial model here. The renderer's",
        "shapes are of kinds that the captioner was trained on; with one from a square to an",
        "ellipse it took the other shape for a turn, was confirmed in it, and was wrong: a",
        "sentence that finds its film need not be true.",
        "",
        "## A renderer whose factors are known",
        "",
        _numbers(pure),
        "",
        *_table(pure["axes"]),
        "",
        "Against the known factors, of sentences that are confirmed: "
        + ", ".join(f"{k} {v:.2f}" for k, v in pure["scores"].items() if v is not None)
        + ".",
        "",
        "Axes at 45 degrees between two of its factors:",
        "",
        *_table(shown["mixed"]["axes"]),
        "",
        _comparison(pure, shown["mixed"]),
        "",
        "A describer that says one fluent sentence for everything, and guesses in the match",
        f"test: {_liar(shown['liar'])}",
        "",
    ]
    if results["sprites"]:
        lines += [
            "## A published VAE of dSprites",
            "",
            _numbers(results["sprites"]),
            "Correlations are of posterior means with where the shape stands and with its area,",
            "on shapes drawn here; the captioner does not see them.",
            "",
            *_table(results["sprites"]["axes"], correlations=True),
            "",
            "The gate takes the mean over the whole picture. As the figure shows, z5 makes a",
            "square of a heart in less than one percent of it; a smaller `visible` asks about",
            "such axes, too.",
            "",
        ]
    lines += ["![Frames along every axis, and what was said of them](descriptions.png)", ""]
    return "\n".join(lines)


def _numbers(found: Mapping[str, Any]) -> str:
    return (
        f"{found['n_calls']:,} calls with {found['n_images']:,} pictures. A clear description is "
        f"surer than {found['threshold']:.2f}, which one in ten films of nothing reaches, and at "
        f"least {found['least']:g} sure; {found['n_match']} match questions an axis, right by "
        f"chance in {found['chance']:.2f}."
    )


def _comparison(pure: Mapping[str, Any], mixed: Mapping[str, Any]) -> str:
    least, most = (
        function(row["certainty"] for row in found["axes"].values() if row["status"] in ASKED)
        for function, found in ((min, pure), (max, mixed))
    )
    return f"The least certainty of a factor is {least:.2f}, the largest of a mixture {most:.2f}."


def _liar(found: Mapping[str, Any]) -> str:
    rows = [row for row in found["axes"].values() if row["status"] in ASKED]
    confirmed = sum(bool(row["confirmed"]) for row in rows)
    sure = max(row["certainty"] for row in rows)
    rate = np.mean([row["hit_rate"] for row in rows])
    clear = sum(row["status"] == "clear" for row in rows)
    return (
        f"certainty up to {sure:.2f}, {clear} of {len(rows)} axes clear, hit rate {rate:.2f}, "
        f"{confirmed} confirmed."
    )


def _table(rows: Mapping[str, Any], correlations: bool = False) -> list[str]:
    head = ["axis", "what is said", "change", "certainty", "p", "found its film (95%)"]
    head += ["with other sentences"]
    head += ["strongest correlations"] * correlations
    table = []
    for label, row in rows.items():
        asked = row["status"] in ASKED
        low, high = row["hit_interval"]
        matched = row["hit_rate"] is not None
        hits = f"{row['hit_rate']:.2f} ({low:.2f} to {high:.2f})" if matched else ""
        hits += ", confirmed" if row["confirmed"] else ""
        cells = [
            label, row["sentence"], f"{row['visible_change']:.3f}",
            f"{row['certainty']:.2f}" if asked else "", f"{row['p_value']:.3f}" if asked else "",
            hits, f"{row['control_rate']:.2f}" if row["control_rate"] is not None else "",
        ]  # fmt: skip
        if correlations:
            strong = sorted(row["correlations"].items(), key=lambda item: -abs(item[1]))[:2]
            cells.append(", ".join(f"{name} {r:+.2f}" for name, r in strong))
        table.append(cells)
    return markdown_table(head, table)


def figure(explanations: Mapping[str, Any]) -> Figure:
    """Return the frames along every axis of each model, with the sentence beside them."""
    heights = [len(found.axes) for found in explanations.values()]
    drawn = plt.figure(figsize=(9, 0.95 * sum(heights)), layout="constrained")
    parts = drawn.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (name, found) in zip(parts, explanations.items(), strict=True):
        plot_descriptions(found, figure=part)
        part.suptitle(name)
    return drawn


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the script with ``argv``, those of the command line by default; return the results."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Axes in words, by a small captioner.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("output/latent_words"))
    options = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    sizes = {"n_answers": 4, "n_anchors": 2, "n_null": 9} if options.quick else {}
    sizes = sizes or {"n_answers": 20, "n_anchors": 20, "n_null": 39}
    explanations: dict[str, Any] = {}
    results: dict[str, Any] = {"planted": None, "sprites": None}
    results["planted"], explanations["A renderer with known factors"] = planted(sizes)
    try:
        results["sprites"], explanations["A published VAE of dSprites"] = sprites(
            sizes, 60 if options.quick else 500
        )
    except FileNotFoundError:
        _log.info("dSprites VAE: its weights are not at hand")
    results = plain(results)
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    write_atomic(options.output / "descriptions.json", text.encode())
    write_atomic(options.output / "descriptions.md", markdown(results).encode())
    drawn = figure(explanations)
    drawn.savefig(options.output / "descriptions.png", dpi=90)
    plt.close(drawn)
    _log.info("wrote %s", options.output / "descriptions.md")
    return results


if __name__ == "__main__":
    main()
