"""What directions and units find in trained models, and what their controls find where nothing is.

    python examples/inside.py --output docs/results

On each model: directions along which something that is read off the picture rises, beside random
directions of the same length; how much more the directions of GANSpace and SeFa change than random
ones; which units of a layer match which concept, beside shuffled masks; and what goes when the
five most important units for a concept are off, beside random sets. On the shipped VAE of
digits also: what becomes of the group HILE without the units that fire for it. Published models
that are not beside the repository are left out and named. Sizes are small: everything takes about
eight minutes of one core. ``--only`` keeps the other models of the output.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from families import load
from family_models.common import beside
from family_models.diffusion import load as load_ddpm
from inside_page import markdown
from safetensors.torch import load_file
from torch import Tensor

from pxgen_plugins import PXGen
from pxgen_plugins.adapters import (
    ActivationDirections,
    AssessorDirection,
    UnitDissection,
    UnitEffects,
    WeightDirections,
)
from pxgen_plugins.adapters.units.group_effect import group_effect
from pxgen_plugins.concepts import Edge, Region, Threshold
from pxgen_plugins.datasets import load_mnist, load_mnist_conv_vae, load_mnist_gan, load_mnist_lenet
from pxgen_plugins.models import GAN, VAE
from pxgen_plugins.plots import plot_directions, plot_units
from pxgen_plugins.result import direction_table
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import PXGenError
from pxgen_plugins.utils.files import plain, write_atomic

_log = logging.getLogger("inside")


@dataclass(frozen=True)
class Case:
    """A model, and what is asked of it.

    Attributes:
        model: The model.
        assessors: What is read off its instances, by name.
        concepts: Concepts by name; the set of units is that of ``concept``.
        concept: See ``concepts``.
        n_codes: Codes for directions, for dissection, and for a set of units.
        n_steps: Steps of the descent of a direction.
        n_effect: Codes on which the effect of every single unit is measured.
        n_random: Random sets.
        cheap: Whether directions are looked for at all.
        realism: Criterion that tells how real instances along a direction are.
        n_units: Units of a set.
        when: Noise levels at which units of a diffusion model are looked at and off.
    """

    model: Any
    assessors: Mapping[str, Callable[[Tensor], Tensor]]
    concepts: Mapping[str, Any]
    concept: str
    n_codes: tuple[int, int, int] = (100, 200, 60)
    n_steps: int = 150
    n_effect: int = 40
    n_random: int = 10
    cheap: bool = True
    realism: str | None = None
    n_units: int = 5
    when: tuple[float, float] | None = None


def moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return mass (n,), centre right and down (n,), and slant (n,) of bright pictures."""
    image = x.mean(1).clamp_min(0.0)
    height, width = image.shape[-2:]
    down = torch.linspace(-1, 1, height, dtype=x.dtype, device=x.device)[None, :, None]
    right = torch.linspace(-1, 1, width, dtype=x.dtype, device=x.device)[None, None, :]
    mass = image.sum((1, 2)) + 1e-6
    cx, cy = ((image * way).sum((1, 2)) / mass for way in (right, down))
    dx, dy = right - cx[:, None, None], down - cy[:, None, None]
    slant = (image * dx * dy).sum((1, 2)) / ((image * dy * dy).sum((1, 2)) + 1e-6)
    return image.mean((1, 2)), cx, cy, slant


def read(at: int) -> Callable[[Tensor], Tensor]:
    """Return one of the moments as an assessor."""
    return lambda x: moments(x)[at]


def cases() -> dict[str, Callable[[], Case]]:
    """Return the cases by name; each is built when it is called."""
    edges = {f"{way} edge": Edge(way, 0.3) for way in ("horizontal", "vertical")}

    def dcgan() -> Case:
        generator, discriminator = load_mnist_gan()
        net = load_mnist_lenet()
        model = GAN(generator, discriminator=discriminator, latent_shape=(32,))
        # the place of the border is the same in every picture: no unit may be called by it
        concepts = {"ink": Threshold(0.5), **edges, "border": Region("border")}
        assessors = {"ink": read(0), "slant": read(3), "logit of 8": lambda x: net(x)[:, 8]}
        return Case(
            model,
            assessors,
            concepts,
            "horizontal edge",
            (200, 300, 100),
            n_steps=300,
            realism="discriminator",
        )

    def shapes() -> Case:
        whole = Threshold(0.5)
        concepts = {f"shape, {at}": Region(at, whole) for at in ("top", "left")}
        assessors = {"right": read(1), "down": read(2), "area": read(0)}
        model = load("shapes_vae").model
        return Case(model, assessors, concepts | edges, "shape, top", (150, 100, 60), 100, 20, 6)

    def faces() -> Case:
        concepts = {
            "dark, top": Region("top", Threshold(0.3, below=True)),
            "bright, middle": Region("middle", Threshold(0.6)),
            **{f"{way} edge": Edge(way, 0.1) for way in ("horizontal", "vertical")},
        }
        assessors = {"brightness": read(0)}
        model = load("face_vae").model
        return Case(model, assessors, concepts, "dark, top", (40, 50, 24), 40, 16, 6)

    def digits() -> Case:
        concepts = {"ink": Threshold(0.5), **edges}
        assessors = {"ink": read(0), "slant": read(3)}
        model = load("convolutional_vae").model
        return Case(model, assessors, concepts, "horizontal edge", (60, 60, 24), 60, 16, 6)

    def noise(when: tuple[float, float] | None = None) -> Case:
        concepts = {"ink": Threshold(0.0), **edges}
        sizes = (0, 60, 24)
        weights = load_file(beside("models", "yichizz_mnist_ddpm.safetensors"))
        model = load_ddpm(weights, steps=8)
        return Case(
            model,
            {},
            concepts,
            "ink",
            sizes,
            n_effect=8,
            n_random=4,
            cheap=False,
            n_units=2,
            when=when,
        )

    return {
        "DCGAN": dcgan,
        "dSprites VAE": shapes,
        "CelebA VAE": faces,
        "digit VAE": digits,
        "MNIST DDPM": noise,
        "MNIST DDPM, last fifth": partial(noise, (0.0, 0.2)),
    }


def measure(name: str, case: Case, folder: Path, quick: bool) -> dict[str, Any]:
    """Return what directions and units say of a model; figures go to ``folder``."""
    started = time.process_time()
    found: dict[str, Any] = {"directions": {}, "amplified": {}}
    few = {"n_codes": 20, "n_random": 2} if quick else {"n_random": 19}  # for a p of 0.05
    steps = 10 if quick else case.n_steps
    codes = {"n_codes": case.n_codes[0], **few}
    for label, assessor in case.assessors.items() if case.cheap else ():
        others = {k: v for k, v in case.assessors.items() if k != label}
        adapter = AssessorDirection(
            case.model,
            {label: assessor},
            assessors=others,
            n_steps=steps,
            realism=case.realism,
            **codes,
        )
        explanation = adapter.explain(None)
        (row,) = direction_table(explanation)
        agreement = _agreement(case.model, assessor, explanation.directions[0], quick)
        found["directions"][label] = {
            **dict(zip(("local", "straightest"), agreement, strict=True)),
            **{key: explanation.data[key][0, 0] for key in ("slope", "r2", "monotone", "ends")},
            **{key: row[key] for key in ("p_value", "random_slope", "random_ends")},
            "random_monotone": row["random_monotone"],
            "leakage": explanation.leakage[0],
            "realism": None if explanation.realism is None else explanation.realism[0, -1],
            "random_realism": None
            if explanation.control_realism is None
            else explanation.control_realism[0, -1],
            "realism_name": explanation.realism_name,
        }
        _save(plot_directions(explanation), folder / f"{_stem(name)}_{_stem(label)}.png")
    methods = (ActivationDirections, WeightDirections) if case.cheap else ()
    for method in methods:
        try:
            sizes = {"n_codes": 20, "n_random": 2} if quick else {"n_codes": 100, "n_random": 16}
            explanation = method(case.model, realism=None, n_frames=3, **sizes).explain(None)
        except PXGenError as error:  # a model need not have such a layer
            found["amplified"][method.__name__] = {"reason": str(error)}
            continue
        ends = [0, -1]
        ratio = explanation.change[:, ends].sum(1) / explanation.control_change[:, ends].sum(1)
        found["amplified"][method.__name__] = {
            "first_three": ratio[:3].mean(),
            "last_two": ratio[-2:].mean(),
        }
    found["units"] = _units(name, case, folder, quick)
    found["cpu_seconds"] = round(time.process_time() - started, 1)
    return found


def _agreement(
    model: Any, assessor: Callable[[Tensor], Tensor], direction: Any, quick: bool
) -> tuple[float, float]:
    """Return the share of codes whose gradient points along the direction, and along the best one.

    The best one is sought on other codes, from the mean gradient by descent on a smooth count. No
    straight direction raises the number at every step for more codes than it does for a small one.
    """
    n = 40 if quick else 600
    z = torch.randn(n, *model.latent_shape, generator=torch.Generator().manual_seed(1))
    parts = [part.requires_grad_() for part in torch.split(z, 50)]
    slopes = [torch.autograd.grad(assessor(model.decode(x)).sum(), x)[0] for x in parts]
    flat = torch.cat(slopes).flatten(1)
    sought, kept = (flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)).split(n // 2)
    best = sought.mean(0).requires_grad_()
    optimiser = torch.optim.Adam([best], lr=0.02)
    for _ in range(800):
        optimiser.zero_grad()
        loss = torch.sigmoid(-8.0 * (sought @ (best / best.norm()))).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        optimiser.step()
    own = torch.from_numpy(np.asarray(direction, dtype=np.float32)).flatten()
    shares = [float((kept @ way > 0).double().mean()) for way in (own, best.detach())]
    return shares[0], shares[1]


def _units(name: str, case: Case, folder: Path, quick: bool) -> dict[str, Any]:
    many, some = (12, 8) if quick else case.n_codes[1:]
    dissection = UnitDissection(
        case.model, case.concepts, n_codes=many, n_effect=4 if quick else case.n_effect,
        when=case.when,
    ).explain(None)  # fmt: skip
    _save(plot_units(dissection, case.concept), folder / f"{_stem(name)}_units.png")
    effects = UnitEffects(
        case.model, {case.concept: case.concepts[case.concept]}, n_units=case.n_units, n_codes=some,
        n_random=2 if quick else case.n_random, when=case.when,
    ).explain(None)  # fmt: skip
    _save(plot_units(effects), folder / f"{_stem(name)}_set.png")
    column = list(case.concepts).index(case.concept)
    iou, effect = dissection.iou[:, column], dissection.effect[:, column]
    rank = [np.argsort(np.argsort(one, kind="stable")) for one in (iou, effect)]
    return {
        "layer": dissection.layer,
        "n_units": dissection.n_units,
        "concepts": {
            concept: {
                "iou": dissection.iou[:, j].max(),
                "null_iou": dissection.null_iou[int(dissection.iou[:, j].argmax()), j],
                "named": sum(label == concept for label in dissection.label),
                "largest_effect": np.nan_to_num(dissection.effect[:, j]).max(),
            }
            for j, concept in enumerate(case.concepts)
        },
        "iou_and_effect": float(np.corrcoef(rank[0], rank[1])[0, 1]),
        "set": {
            "concept": case.concept,
            "units": effects.order,
            "removal": effects.removal[-1],
            "interval": effects.removal_interval[-1],
            "random_removal": effects.random_removal[-1],
            "random_band": effects.random_removal_band[-1],
            "insertion": None if effects.insertion is None else effects.insertion[-1],
            "random_insertion": None
            if effects.random_insertion is None
            else effects.random_insertion[-1],
            "insertion_all": effects.insertion_all,
            "patch": effects.patch,
            "outside": effects.outside[-1],
        },
    }


def group(quick: bool) -> dict[str, Any]:
    """Return what becomes of HILE on the digit VAE without the units that fire for it."""
    model = VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28))
    explainer = PXGen(model, "kld", "mse", threshold=Quantile(0.95, 300 if quick else 2_000, 2))
    images = load_mnist("test")[0][: 200 if quick else 1_000]
    found = group_effect(explainer.fit(), images, n_random=2 if quick else 10)
    return {
        "layer": found.layer,
        "units": found.units,
        "firing": found.firing,
        "before": found.before,
        "after": found.after,
        "random": found.random,
        "kept": found.kept,
        "random_kept": found.random_kept,
        "n_anchors": found.n_anchors,
    }


def _stem(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "_")


def _save(axes: Any, path: Path) -> None:
    figure = axes[0].figure
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the script with ``argv``, those of the command line by default; return the results."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    known = cases()
    parser = argparse.ArgumentParser(description="Directions and units of trained models.")
    parser.add_argument("--only", nargs="+", choices=list(known), default=list(known))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("output/inside"))
    parser.add_argument("--figures", type=Path, default=Path("output/inside"))
    options = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    results = _stored(options.output)
    for name in options.only:
        try:
            case = known[name]()
        except FileNotFoundError:
            _log.info("%s: its weights are not at hand", name)
            continue
        results["models"][name] = measure(name, case, options.figures, options.quick)
        _log.info("%s: %s s", name, results["models"][name]["cpu_seconds"])
        _write(results, options.output)
    if "digit VAE" in options.only:
        results["group"] = group(options.quick)
        _write(results, options.output)
    return results


def _stored(folder: Path) -> dict[str, Any]:
    """Return what a run has stored, so that ``--only`` keeps the other models."""
    path = folder / "inside.json"
    if not path.exists():
        return {"models": {}, "group": None}
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _write(results: dict[str, Any], folder: Path) -> None:
    order = [name for name in cases() if name in results["models"]]
    results["models"] = {name: results["models"][name] for name in order}
    results = plain(results)
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    write_atomic(folder / "inside.json", text.encode())
    write_atomic(folder / "inside.md", markdown(results).encode())


if __name__ == "__main__":
    main()
