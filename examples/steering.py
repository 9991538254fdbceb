"""Simulated users steer representations: a planted renderer, and VAEs behind rotated codes.

    python examples/steering.py --output docs/results

Each model is put to the reconstruction task twice or more: behind its own axes, and behind rotated
codes, where every picture is the same and only the axes differ. A sweeper drags one slider after
the other and leaves it where the picture looked best; it misjudges the agreement by 0.02. A random
walker puts random sliders anywhere. The renderer of an ellipse has the four factors as its axes;
mixed by 45 degrees in place alone, or all four at random. Of the 200 dimensions of the shipped VAE
of zeros the 12 most visible ones have a slider, and are mixed among themselves. Simulated numbers
test the task and are no claim about people. About three minutes of one core. The published dSprites
VAE is left out, by name, where its weights are not beside the repository; ``--only`` keeps the
other models of the output.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from ellipse_renderer import PAIR, EllipseRenderer
from families import load
from family_models.common import digits

from pxgen_plugins.datasets import load_mnist_conv_vae, load_mnist_vae
from pxgen_plugins.evaluation import ReconstructionTask, RotatedCodes, compare_representations
from pxgen_plugins.models import VAE
from pxgen_plugins.utils.files import plain, write_atomic
from pxgen_plugins.utils.text import markdown_table, number

_log = logging.getLogger("steering")
_DRAWN = "planted renderer"  # the model of the figure


@dataclass(frozen=True)
class Case:
    """Representations of the same data, the first of which is the model's own.

    Attributes:
        models: By label.
        x: Anchors.
        goal: The published goal for such data.
        n_questions: Questions.
        options: More arguments of the task.
    """

    models: Mapping[str, Any]
    x: Any
    goal: float
    n_questions: int = 20
    options: Mapping[str, Any] = field(default_factory=dict)


def cases() -> dict[str, Callable[[], Case]]:
    """Return the cases by name; each is built when it is called."""

    def planted() -> Case:
        model = EllipseRenderer()
        models = {
            "factors": model,
            "place mixed": RotatedCodes(model, PAIR),
            "all mixed": RotatedCodes(model),
        }
        return Case(models, model.pictures, 0.9, 60)

    def shapes() -> Case:
        family = load("shapes_vae")
        models = {"own": family.model, "rotated": RotatedCodes(family.model)}
        return Case(models, family.in_domain, 0.9)

    def written() -> Case:
        model = VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28))
        models = {"own": model, "rotated": RotatedCodes(model)}
        return Case(models, digits(300), 0.75, options={"agreement": "iou"})

    def zeros() -> Case:
        model = VAE(load_mnist_vae(), sample_shape=(1, 28, 28))
        x = digits(300, digits=0)
        visible = ReconstructionTask(model, x, n_questions=1, goal=0.75, axes=12).sliders.axes
        places = [int(abs(axis.vector).argmax()) for axis in visible]
        # mixed among themselves: other axes of 200 dimensions would move other things, and less
        models = {"own": model, "rotated": RotatedCodes(model, dimensions=places)}
        return Case(models, x, 0.75, options={"agreement": "iou", "axes": visible})

    return {
        _DRAWN: planted,
        "dSprites VAE": shapes,
        "digit VAE": written,
        "zeros VAE": zeros,
    }


def measure(case: Case, figure: Path | None, quick: bool) -> dict[str, Any]:
    """Return what simulated users did with the representations of a case."""
    started = time.process_time()
    n = 3 if quick else case.n_questions
    options = {"n_questions": n, **case.options}
    tasks = [
        ReconstructionTask(model, case.x, goal=case.goal, label=label, **options)
        for label, model in case.models.items()
    ]
    first = next(iter(case.models.values()))
    own = ReconstructionTask(first, case.x, n_questions=1, **case.options).goal
    found: dict[str, Any] = {
        "n_questions": n,
        "agreement": tasks[0].agreement_name,
        "goal": case.goal,
        "goal_of_posterior": own,
        "sliders": {task.label: len(task.table()) for task in tasks},
        "active": {task.label: sum(row["active"] for row in task.table()) for task in tasks},
        "users": {},
    }
    for user in ("sweeper", "random"):
        comparison = compare_representations(tasks, user=user, budget=20 if quick else 200)
        found["users"][user] = {
            "representations": {
                label: {row["measure"]: row for row in summary.measures}
                for label, summary in comparison.summaries.items()
            },
            "pairs": comparison.rows,
        }
        if user == "sweeper" and figure is not None:
            axes = comparison.plot()
            figure.parent.mkdir(parents=True, exist_ok=True)
            axes[0].figure.savefig(figure, dpi=110)
            plt.close(axes[0].figure)
    found["cpu_seconds"] = round(time.process_time() - started, 1)
    return found


def markdown(results: Mapping[str, Any]) -> str:
    """Return the tables."""
    lines = [
        "# Steering representations",
        "",
        "Written by `python examples/steering.py`; its docstring says what is measured, and",
        "[docs/steering.md](../steering.md) how to read it. Simulated users, up to 200 drags a",
        "question: no claim about people. In brackets 95% intervals over questions.",
        "",
        "| model | questions | goal | goal by the model's own posterior |",
        "|---|--:|--:|--:|",
    ]
    for name, found in results.items():
        goals = f"{found['goal']:.2f} ({found['agreement']}) | {found['goal_of_posterior']:.2f}"
        lines.append(f"| {name} | {found['n_questions']} | {goals} |")
    rows = []
    for name, found in results.items():
        for user, of_user in found["users"].items():
            ratios = {
                row["representation"]: _interval(row, "ratio", "ratio_low", "ratio_high")
                for row in of_user["pairs"]
                if row["measure"] == "drags"
            }
            for label, measures in of_user["representations"].items():
                cells = [
                    _interval(measures[key], "mean", "low", "high")
                    for key in ("solved", "drags", "error_auc")
                ]
                active = f"{found['active'][label]} of {found['sliders'][label]}"
                rows.append([name, label, active, user, *cells, ratios.get(label, "")])
    head = ["model", "axes", "active", "user", "solved", "drags", "mean error", "ratio of drags"]
    return "\n".join([*lines, "", *markdown_table(head, rows, n_left=4)]) + "\n"


def _interval(row: Mapping[str, Any], value: str, low: str, high: str) -> str:
    if row[value] is None:
        return ""
    ends = "" if row[low] is None else f" ({number(row[low], 3)} to {number(row[high], 3)})"
    return f"{number(row[value], 3)}{ends}"


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the script with ``argv``, those of the command line by default; return the results."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    known = cases()
    parser = argparse.ArgumentParser(description="Simulated users steer representations.")
    parser.add_argument("--only", nargs="+", choices=list(known), default=list(known))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("output/steering"))
    options = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    path = options.output / "steering.json"
    results: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for name in options.only:
        try:
            case = known[name]()
        except FileNotFoundError:
            _log.info("%s: its weights are not at hand", name)
            continue
        figure = options.output / "steering.png" if name == _DRAWN else None
        results[name] = plain(measure(case, figure, options.quick))
        _log.info("%s: %s s", name, results[name]["cpu_seconds"])
        results = {name: results[name] for name in known if name in results}
        write_atomic(path, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())
        write_atomic(options.output / "steering.md", markdown(results).encode())
    return results


if __name__ == "__main__":
    main()
