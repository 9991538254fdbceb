"""Where a text-to-image model keeps its words: found by windows, tested by edits.

    python examples/where_is_the_seven.py --output docs/results

The shipped model draws digits as a prompt says ("a thin seven left"). *Where*: for every window of
two of its six cross-attention layers the prompt is another one there, and the picture is asked how
much of the concept has changed, for stroke width, side and each digit; the control changes a word
that the score does not ask about. *Which word draws where*: attention to each word beside what
changes without it. *What comes back*: causal traces with noise on a word. *Edit*: "three" is read
as "eight", with and without the other digits preserved. *Does the window help the edit?* Each of
ten digits is read as the next one in the window that was found for it, and in every other window of
the same size. *PXGen before and after*: the groups of MNIST's threes under "a three".

Scores of digits are probabilities of the shipped LeNet. It takes about ten minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from digit_scores import centre, digit_probabilities, stroke_width
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from pxgen_plugins import PXGen
from pxgen_plugins.adapters import CausalTrace, CrossAttentionLocalisation, CrossAttentionMaps
from pxgen_plugins.comparison.migration import Migration
from pxgen_plugins.datasets import load_mnist, load_mnist_text
from pxgen_plugins.editing import ConceptEdit
from pxgen_plugins.models import from_diffusers
from pxgen_plugins.plots import plot_localisation, plot_word_maps
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import PXGenWarning
from pxgen_plugins.utils.files import plain, write_atomic
from pxgen_plugins.utils.text import markdown_table

_log = logging.getLogger("where_is_the_seven")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GUIDANCE, STEPS, WINDOW = 2.0, 5, 2
WIDTHS = ("thin", "thick")
Score = Callable[[Tensor], Tensor]


def small_model() -> Any:
    """Return the shipped model, with few steps."""
    return from_diffusers(load_mnist_text(), guidance=GUIDANCE, steps=STEPS)


def grey(x: Tensor) -> Tensor:
    """Return pictures (n, 1, h, w) in [-1, 1] as (n, h, w) in [0, 1]."""
    return (x[:, 0] + 1) / 2


def probability(digit: str) -> Score:
    """Return the LeNet's probability of a digit as a score of pictures."""
    row = DIGITS.index(digit)

    def score(x: Tensor) -> Tensor:
        return digit_probabilities(grey(x))[:, row]

    score.__name__ = f"P({digit})"
    return score


def width(x: Tensor) -> Tensor:
    """Return the mean stroke width in pixels, (n,)."""
    return stroke_width(grey(x))


def place(x: Tensor) -> Tensor:
    """Return the column of the centre of mass, (n,)."""
    return centre(grey(x))[:, 1]


def cases(seeds: int) -> dict[str, dict[str, Any]]:
    """Return the concepts: words, scorer, prompts, and the control's words."""
    return {
        "stroke width": {
            "concept": "thick", "target": "thin", "scorer": width, "control": ("left", "right"),
            "prompts": ["a thick seven left", "a thick three left"], "n_seeds": seeds,
        },
        "side": {
            "concept": "left", "target": "right", "scorer": place, "control": ("thick", "thin"),
            "prompts": ["a thick seven left", "a thick three left"], "n_seeds": seeds,
        },
        "seven": {
            "concept": "seven", "target": "three", "scorer": probability("seven"),
            "control": ("left", "right"), "prompts": ["a thick seven left", "a thin seven left"],
            "n_seeds": seeds,
        },
    }  # fmt: skip


def summary(found: Any) -> dict[str, Any]:
    """Return the numbers of a localisation."""
    keys = (
        "whole", "whole_interval", "share", "share_interval", "control_share",
        "control_share_interval", "strongest", "n_seeds",
    )  # fmt: skip
    return {"layers": len(found.layers), **{key: getattr(found, key) for key in keys}}


def localise(model: Any, seeds: int) -> dict[str, Any]:
    """Return the localisation of each concept."""
    return {
        name: CrossAttentionLocalisation(model, window=WINDOW, **case).explain(None)
        for name, case in cases(seeds).items()
    }


def digits_by_window(model: Any, seeds: int) -> dict[str, Any]:
    """Read each digit as the next one, in the window found for it and in every other.

    Returns:
        By digit: the window found, what is left of its probability after the edit of each window,
        and the probability before.
    """
    table = {}
    for at, digit in enumerate(DIGITS):
        target, score = DIGITS[(at + 1) % 10], probability(digit)
        # control: the other digits' names would be nearer; a side is what the score ignores
        found = CrossAttentionLocalisation(
            model, digit, target, score, prompts=[f"a {digit} left"], control=("left", "right"),
            window=WINDOW, n_seeds=seeds,
        ).explain(None)  # fmt: skip
        prompt = f"a {digit}"
        left = []
        for window in found.places:
            edit = ConceptEdit(
                model, {digit: target}, preserve=[d for d in DIGITS if d not in (digit, target)],
                templates=["a {}"], layers=window,
            )  # fmt: skip
            with edit.applied():
                left.append(float(score(model.sample(2 * seeds, 77, prompt=prompt)).mean()))
        before = float(score(model.sample(2 * seeds, 77, prompt=prompt)).mean())
        table[digit] = {
            "target": target, "found": found.strongest, "share": found.share,
            "before": before, "left": left,
        }  # fmt: skip
        _log.info("%s: window %s, left %s", digit, found.strongest, np.round(left, 2))
    return table


def reports(model: Any, seeds: int) -> dict[str, Any]:
    """Return the reports of "three" read as "eight", by what was preserved."""
    prompts = {digit: [f"a {digit}"] for digit in DIGITS}
    scorers = {digit: probability(digit) for digit in DIGITS}
    others = [digit for digit in DIGITS if digit not in ("three", "eight")]
    return {
        name: ConceptEdit(model, {"three": "eight"}, preserve=preserve, templates=["a {}"]).report(
            prompts, scorers, n_seeds=seeds
        )
        for name, preserve in (("other digits preserved", others), ("nothing preserved", []))
    }


def threes(n: int) -> np.ndarray[Any, Any]:
    """Return MNIST threes as the model draws them, float32 (n, 1, 14, 14) in [-1, 1]."""
    images, labels = load_mnist("test")
    x = torch.from_numpy(images[labels == 3][:n].astype(np.float32) / 255).reshape(-1, 1, 28, 28)
    moved = functional.pad(x, (4, 0, 0, 0))[..., :28]  # to the right, as half of its training data
    return np.asarray((functional.avg_pool2d(moved, 2) * 2 - 1).numpy())


def migration(model: Any, n: int) -> Migration:
    """Return where threes are under "a three right" before and after the edit."""
    edit = ConceptEdit(
        model, {"three": "eight"}, templates=["a {} right"],
        preserve=[digit for digit in DIGITS if digit not in ("three", "eight")],
    )  # fmt: skip
    X, groups = threes(n), []
    threshold = Quantile(0.95, n_samples=n, n_repeats=2)
    explainer = PXGen(model.bind("a three right"), threshold=threshold).fit()
    groups.append(explainer.explain(X).group)
    with edit.applied():  # the same thresholds: what the model thought of its own samples before
        groups.append(explainer.explain(X).group)
    return Migration.of(("before", "after"), *groups)


def interval(values: Sequence[float | None]) -> str:
    """Return "mean (low to high)"; "" where there is no share."""
    if any(value is None for value in values):
        return ""
    mean, low, high = values
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def markdown(results: Mapping[str, Any], texts: Mapping[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# Where is the seven?",
        "",
        "Written by `python examples/where_is_the_seven.py`; its docstring says what is measured,",
        "and [docs/inside.md](../inside.md) how to read it.",
        "",
        "## Windows of cross-attention",
        "",
        "Share of the whole change of the score when a window of two layers reads the other",
        "prompt; in brackets 95% over seeds. Control: the same with a word that the score does not",
        "ask about, as a share of the concept's whole change.",
        "",
    ]
    rows = []
    for name, row in results["where"].items():
        for at, share in enumerate(row["share"]):
            rows.append(
                [
                    name if at == 0 else "",
                    f"{at + 1} and {at + 2}",
                    interval([share, *row["share_interval"][at]]),
                    interval([row["control_share"][at], *row["control_share_interval"][at]]),
                ]
            )
    lines += markdown_table(["concept", "layers", "share", "control"], rows, 2)
    lines += ["", "![Stroke width](where_is_the_seven.png)", "", "## Words on the picture", ""]
    lines += [
        "Correlation over places of the attention to a word with what changes without it, and of",
        "the attention to all other tokens with the same change; 95% over pictures.",
        "",
    ]
    rows = [
        [word, interval(row["agreement"]), interval(row["control"])]
        for word, row in results["words"].items()
    ]
    lines += markdown_table(["word", "its attention", "other tokens"], rows, 1)
    lines += ["", "## What comes back", "", texts["trace"], ""]
    rows = [
        [f"{at + 1}", interval([share, *results["trace"]["share_interval"][at]]),
         interval([results["trace"]["control_share"][at],
                   *results["trace"]["control_share_interval"][at]])]
        for at, share in enumerate(results["trace"]["share"])
    ]  # fmt: skip
    lines += markdown_table(["layer", "share that comes back", "output of no prompt"], rows, 1)
    lines += ["", '## "three" is read as "eight"', ""]
    for name, text in texts["reports"].items():
        lines += [
            f"### With {name}" if "nothing" not in name else "### Nothing preserved",
            "",
            text,
        ]
    lines += ["## Does the window help the edit?", "", texts["windows"], ""]
    rows = [
        [f"{digit} as {row['target']}", f"{row['before']:.2f}",
         "" if row["found"] is None else f"{row['found'] + 1} and {row['found'] + 2}",
         "" if row["found"] is None else f"{row['left'][row['found']]:.2f}",
         ", ".join(f"{v:.2f}" for at, v in enumerate(row["left"]) if at != row["found"])]
        for digit, row in results["windows"].items()
    ]  # fmt: skip
    head = ["edit", "P before", "layers found", "P after, there", "P after, other windows"]
    lines += markdown_table(head, rows, 1)
    lines += ["", "## PXGen before and after", "", texts["groups"], ""]
    matrix = results["groups"]["matrix"]
    states = results["groups"]["states"]
    rows = [[state, *map(str, row)] for state, row in zip(states, matrix, strict=True)]
    lines += markdown_table(["before \\ after", *states], rows, 1)
    return "\n".join(lines) + "\n"


def judged(windows: Mapping[str, Any]) -> dict[str, Any]:
    """Return in how many digits the found window edits at least as well as the others."""
    known = [row for row in windows.values() if row["found"] is not None]
    own = [row["left"][row["found"]] for row in known]
    others = [np.delete(row["left"], row["found"]) for row in known]
    better = sum(one <= float(other.mean()) for one, other in zip(own, others, strict=True))
    best = sum(one <= float(other.min()) for one, other in zip(own, others, strict=True))
    return {
        "digits": len(known), "at_least_as_good_as_the_mean": int(better), "best": int(best),
        "left_found": float(np.mean(own)),
        "left_others": float(np.mean([other.mean() for other in others])),
    }  # fmt: skip


def figure(where: Mapping[str, Any]) -> Figure:
    """Return the windows of every concept, one below the other."""
    drawn = plt.figure(figsize=(8.4, 3.9 * len(where)), layout="constrained")
    parts = drawn.subfigures(len(where), 1, squeeze=False)[:, 0]
    for part, (name, found) in zip(parts, where.items(), strict=True):
        plot_localisation(found, figure=part)
        part.suptitle(name)
    return drawn


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the script with ``argv``, those of the command line by default; return the results."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Where a text-to-image model keeps its words.")
    parser.add_argument("--quick", action="store_true", help="few seeds, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("output/where_is_the_seven"))
    options = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    seeds, n = (2, 8) if options.quick else (8, 100)
    model = small_model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PXGenWarning)  # a digit's window that is not found
        where = localise(model, seeds)
        windows = digits_by_window(model, max(2, seeds // 2))
        trace = CausalTrace(
            model, "seven", probability("seven"), prompts=["a thick seven left"], sites="unet",
            n_seeds=3 * seeds,  # noise on a word ends in one digit or another
        ).explain(None)  # fmt: skip
    words = CrossAttentionMaps(model, "a thick seven left", n_seeds=seeds).explain(None)
    edited = reports(model, seeds)
    moved = migration(model, n)
    verdict = judged(windows)
    results: dict[str, Any] = plain(
        {
            "where": {name: summary(found) for name, found in where.items()},
            "words": {
                word: {
                    "agreement": [words.agreement[at], *words.agreement_interval[at]],
                    "control": [words.control_agreement[at],
                                *words.control_agreement_interval[at]],
                }
                for at, word in enumerate(words.words)
            },
            "trace": summary(trace),
            "edit": {name: report.to_dict() for name, report in edited.items()},
            "windows": windows,
            "verdict": verdict,
            "groups": moved.to_dict(),
        }
    )  # fmt: skip
    texts = {
        "trace": 'Noise on the embedding of "seven"; for one layer after the other what it\n'
        "returned without noise is put back, and as control what it returns for the empty prompt.\n"
        "The text encoder is a table of words: it has no layers to trace.",
        "reports": {name: str(report) + "\n" for name, report in edited.items()},
        "windows": f"Of {verdict['digits']} digits the window found by localisation edits at "
        "least\nas well as the mean of the other windows of its size for\n"
        f"{verdict['at_least_as_good_as_the_mean']}, and best of all for {verdict['best']}.\n"
        f"What is left of the probability: {verdict['left_found']:.2f} there, "
        f"{verdict['left_others']:.2f} elsewhere.",
        "groups": f'{n} threes of MNIST under "a three right", thresholds from the samples\n'
        f"before. {100 * moved.same:.0f}% stay in their group.",
    }
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    write_atomic(options.output / "where_is_the_seven.json", text.encode())
    write_atomic(options.output / "where_is_the_seven.md", markdown(results, texts).encode())
    for name, drawn in (
        ("where_is_the_seven", figure(where)),
        ("words_on_the_picture", plot_word_maps(words)[0].figure),
    ):
        drawn.savefig(options.output / f"{name}.png", dpi=90)
        plt.close(drawn)
    _log.info("wrote %s", options.output / "where_is_the_seven.md")
    return results


if __name__ == "__main__":
    main()
