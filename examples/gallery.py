"""Every plot and every adapter with code and picture: runs the entries and writes the page.

    python examples/gallery.py                  # docs/gallery.md and docs/gallery/*.png
    python examples/gallery.py --only saliency  # one picture, and the page

An entry that needs a package which is not installed is left as it was committed. Figures of whole
experiments are those of ``docs/results``, with the command that makes them.
"""

from __future__ import annotations

import argparse
import inspect
import io
import textwrap
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from gallery_entries import ENTRIES
from PIL import Image

from pxgen_plugins import adapters, plots
from pxgen_plugins.adapters.base import REGISTRY
from pxgen_plugins.utils.errors import MissingDependencyError
from pxgen_plugins.utils.files import write_atomic

__all__ = ["EXPERIMENTS", "draw", "main", "page"]

DOCS = Path(__file__).resolve().parents[1] / "docs"
PACKAGE = "pxgen_plugins."
WIDTH = 640  # pixels of a picture, at most
EXPERIMENTS = {  # figures of experiments: picture, what it shows, command
    "plot_groups": ("images/groups.png", "All anchors, in four groups.", "make demo"),
    "plot_models": (
        "results/vae_vs_gan.png", "Two models under the same anchors.",
        "python examples/vae_vs_gan.py",
    ),
    "plot_scorecard": (
        "results/scorecard_mnist.png", "Is the explanation true? Every check, beside what it "
        "should give.", "python examples/evaluate_mnist.py",
    ),
    "plot_study": (
        "results/mnist_threshold_study.png", "How groups move with the rule.",
        "python examples/mnist_anchor_study.py",
    ),
    "plot_calibration_noise": (
        "results/calibration_noise.png", "How far another calibration moves a share.",
        "python examples/calibration_noise.py",
    ),
    "plot_removal": (
        "results/removal_digit0.png", "What dropping training images does to a model.",
        "python examples/removal_mnist.py --digit 0",
    ),
    "plot_training_samples": (
        "results/top_k_mnist.png", "Training images that methods call representative.",
        "python examples/top_k_mnist.py",
    ),
    "plot_copies": (
        "results/planted_copies_vae.png", "Training images that a model gives back.",
        "python examples/planted_copies.py",
    ),
    "plot_steering": (
        "results/steering.png", "How well sliders steer a model.", "python examples/steering.py",
    ),
}  # fmt: skip
SAME = {  # plots that an adapter's entry draws
    "plot_views": "latent_view",
    "plot_directions": "assessor_direction",
    "plot_units": "unit_dissection",
    "plot_descriptions": "latent_description",
    "plot_localisation": "cross_attention_localisation",
    "plot_word_maps": "cross_attention_maps",
}
ABOUT = """# Gallery

Every plot and every adapter, with its picture and the code that made it, by
`python examples/gallery.py`: `model()` is the shipped VAE of digits, `gan()` the shipped GAN,
`writer()` the shipped text-to-image model, `anchor_set()` 300 digits of the test file with their
labels and `X()` the first four, `explainer()` a fitted `PXGen` and `explained()` its explanation of
them (`examples/gallery_entries.py`). `show_maps` and its like are a few lines of matplotlib
(`examples/gallery_pictures.py`).
"""
KERAS = (
    "For Keras models. It has no picture here: it needs TensorFlow 2.14, which has an environment "
    "of its own (`make test-tensorflow`)."
)
EVIDENCE = {
    "attribution": "which elements of an instance raise a number",
    "latent_attribution": "which latent dimensions raise it",
    "effect": "how it moves along a dimension",
    "counterfactual": "what would have to change",
    "prototypes": "which instances stand for all",
    "influence": "which training instances stand behind it",
    "embedding": "how codes lie",
    "groups": "what tells groups apart",
    "directions": "ways through latent space",
    "units": "channels of a layer",
    "description": "in words",
    "localisation": "words of a prompt",
}


def draw(name: str) -> bytes:
    """Run an entry, and return its figure as a PNG of a few colours."""
    plt.close("all")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ENTRIES[name]()
    raw, small = io.BytesIO(), io.BytesIO()
    plt.gcf().savefig(raw, dpi=100, bbox_inches="tight")
    plt.close("all")
    with Image.open(raw) as image:
        image.thumbnail((WIDTH, 10 * WIDTH))
        image.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(
            small, format="PNG", optimize=True
        )
    return small.getvalue()


def _code(entry: Callable[[], None]) -> str:
    """Return the body of an entry without its docstring."""
    lines = inspect.getsource(entry).splitlines()
    end = next(i for i, line in enumerate(lines) if i and line.rstrip().endswith('"""'))
    return textwrap.dedent("\n".join(lines[end + 1 :])).replace("  # fmt: skip", "").strip()


def _entry(title: str, name: str, folder: str) -> list[str]:
    entry = ENTRIES[name]
    return [
        f"### {title}", "", f"{inspect.getdoc(entry)}", "", f"![{title}]({folder}/{name}.png)", "",
        "```python", _code(entry), "```", "",
    ]  # fmt: skip


def page() -> str:
    """Return the gallery in Markdown."""
    lines = [ABOUT, "## Plots", ""]
    for name in plots.__all__:
        if name in EXPERIMENTS:
            picture, about, command = EXPERIMENTS[name]
            lines += [f"### {name}", "", f"{about} Made by `{command}`.", ""]
            lines += [f"![{name}]({picture})", ""]
        elif name in SAME:
            title = REGISTRY.get(SAME[name]).__name__
            lines += [f"### {name}", "", f"Drawn below, for [{title}](#{title.lower()}).", ""]
        else:
            lines += _entry(name, name, "gallery")
    for evidence, about in EVIDENCE.items():
        lines += [f"## {evidence.replace('_', ' ').capitalize()}: {about}", ""]
        for name in _of(evidence):
            title = REGISTRY.get(name).__name__
            if name in ENTRIES:
                lines += _entry(title, name, "gallery")
            else:
                lines += [f"### {title}", "", KERAS, ""]
    return "\n".join(lines)


def _of(evidence: str) -> Iterable[str]:
    own = (name for name in adapters.names() if REGISTRY.get(name).__module__.startswith(PACKAGE))
    return (name for name in own if REGISTRY.get(name).evidence == evidence)


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    parser = argparse.ArgumentParser(description="Make the gallery.")
    parser.add_argument("--only", nargs="*", default=sorted(ENTRIES), help="entries to run")
    parser.add_argument("--output", type=Path, default=DOCS / "gallery", help="for the pictures")
    given = parser.parse_args(argv)
    mpl.use("Agg")
    for name in given.only:
        try:
            write_atomic(given.output / f"{name}.png", draw(name))
            print(name, flush=True)
        except MissingDependencyError as error:
            print(f"{name}: left as it was: {error}", flush=True)
    if given.output == DOCS / "gallery":
        write_atomic(DOCS / "gallery.md", (page() + "\n").encode())


if __name__ == "__main__":
    main()
