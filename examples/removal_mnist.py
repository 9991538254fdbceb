"""Remove training samples by group, retrain, and see how far the model moves (MNIST).

    python examples/removal_mnist.py --digit 0 --jobs 2 --folder output/points_digit0

The experiment of the PXGen paper (Huang, Weng and Yang, 2025, section 4.4): a VAE is trained on the
first 4,000 images of a digit (the authors' network and loss, 15 epochs) and groups its own training
set. Then 10%, 20%, ... 100% of the number of non-HIHE samples are dropped, by four rankings:

- non-HIHE, by falling anchor value (what the model represents worst);
- HIHE, by rising anchor value (what it represents best);
- at random;
- by rising influence on generated images, averaged over them (VAE-TracIn, Kong and Chaudhuri 2021).

After each retraining 3,500 generated images are compared with the original's by Frechet distance,
in the features of a small classifier of digits (LeNet) and in pixels averaged over 4 x 4 blocks.
Beyond the paper: several seeds, the distance between seeds without any removal, and a control that
trains for as many steps as the full set takes.

How many samples are non-HIHE hangs on the threshold rule. With the authors' rule, the mean of 100
maxima of 60,000 generated images each, hardly any grey-scale image of digit 0 is; there is nothing
to remove. (Their code wrote the anchors black and white, which puts about 16% outside HIHE.) Maxima
of fewer images are lower: the default here, ``MeanMax(n_samples=250, n_repeats=100)``, puts about
16% of the zeros outside HIHE; for digit 5 ``--threshold-samples 1000`` comes near that share. The
number for maxima of 60,000 is recorded too.

Points are kept in ``--folder``: a run that was stopped goes on when it is started again with the
same arguments. Into ``--output`` go ``removal_digit0.json``, ``.md`` and ``.png``. On two cores a
digit takes about 20 minutes.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import torch
from mnist_zeros import wrap
from signature import signature
from torch import Tensor
from torch.nn import functional
from train_mnist_vae import Recipe, train

from pxgen_plugins import PXGen, criteria, plots
from pxgen_plugins.adapters import VAETracIn
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.datasets import MNISTVAE, load_mnist
from pxgen_plugins.datasets.mnist_lenet import load_mnist_lenet
from pxgen_plugins.evaluation import RemovalExperiment, RemovalResult
from pxgen_plugins.evaluation.frechet import frechet_distance
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.models import VAE
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.files import write_atomic

_log = logging.getLogger("removal_mnist")

REFERENCE_SEED = 1  # the authors'
NON_HIHE, HIHE = "non-HIHE, highest anchor value first", "HIHE, lowest anchor value first"
RANDOM, TRACIN = "random", "lowest VAE-TracIn first"


@dataclass(frozen=True)
class Settings:
    """What decides the numbers; the defaults are those of the full experiment."""

    digit: int = 0
    n_images: int = 4_000
    epochs: int = 15
    threshold_samples: int = 250
    threshold_repeats: int = 100
    authors_samples: int = 60_000
    checkpoints: int = 4
    generated: int = 200
    percents: tuple[int, ...] = tuple(range(10, 101, 10))
    control: tuple[int, ...] = (50, 100)
    n_samples: int = 3_500
    n_seeds: int = 5

    @property
    def recipe(self) -> Recipe:
        """The recipe of the original."""
        return Recipe(self.digit, n_images=self.n_images, epochs=self.epochs, seed=REFERENCE_SEED)


SMALL = Settings(
    n_images=300,
    epochs=6,
    threshold_samples=1_000,
    threshold_repeats=3,
    authors_samples=1_000,
    checkpoints=1,
    generated=10,
    percents=(50, 100),
    control=(100,),
    n_samples=300,
    n_seeds=2,
)


@dataclass(frozen=True)
class Retrain:
    """Trains the VAE on some of the images; a class, so that it can be sent to other processes."""

    images: npt.NDArray[np.uint8]
    recipe: Recipe

    def __call__(self, index: npt.NDArray[np.int64], seed: int, equal_steps: bool) -> VAE:
        """Return the model trained on the images ``index``."""
        n_steps = self.recipe.epochs * -(-len(self.images) // self.recipe.batch_size)
        net, _ = train(
            self.images[index],
            replace(self.recipe, seed=seed),
            n_steps=n_steps if equal_steps else None,
            fused=True,
        )
        return wrap(net)


@cache
def _lenet() -> Any:
    return load_mnist_lenet()


def lenet(images: Tensor) -> Tensor:
    """Return the features of the LeNet, (n, 84), of images (n, 1, 28, 28) in [0, 1]."""
    features: Tensor = _lenet().features(images)
    return features


def pixels(images: Tensor) -> Tensor:
    """Return images (n, 1, 28, 28) averaged over 4 x 4 blocks, (n, 49)."""
    return functional.avg_pool2d(images, 4).flatten(1)


def original(
    images: npt.NDArray[np.uint8], settings: Settings
) -> tuple[MNISTVAE, list[dict[str, Tensor]]]:
    """Train the original; return it with its weights at some epochs, evenly spaced."""
    wanted = np.linspace(0, settings.epochs, settings.checkpoints + 1)[1:].round().astype(int)
    kept: list[dict[str, Tensor]] = []

    def keep(epoch: int, net: MNISTVAE) -> None:
        if epoch in wanted:
            kept.append({name: value.clone() for name, value in net.state_dict().items()})

    net, _ = train(images, settings.recipe, fused=True, after_epoch=keep, progress=True)
    return net, kept


def influence(
    images: npt.NDArray[np.uint8], model: VAE, states: list[dict[str, Tensor]], settings: Settings
) -> npt.NDArray[np.float64]:
    """Return the VAE-TracIn influence of each image on generated images, averaged over them."""
    rate = settings.recipe.learning_rate
    explainer = VAETracIn(
        model,
        [(state, rate) for state in states],
        loss="bce",
        n_draws=1,
        verbose=True,
    ).fit(images)
    with torch.no_grad():
        generated = model.sample(settings.generated, seed=0).numpy()
    found = explainer.explain(generated)
    mean: npt.NDArray[np.float64] = np.asarray(found.influence).mean(axis=1)
    return mean


def grouped(model: VAE, rule: MeanMax, images: npt.NDArray[np.uint8]) -> Any:
    """Return PXGen's explanation of the images; the MSE is summed over pixels as the authors' is.

    Only the anchor value depends on that: with the mean, the KLD alone would decide it.
    """
    explainer = PXGen(
        model, extrinsic={"name": "mse", "reduction": "sum"}, threshold=rule, selectors=(), seed=0
    )
    return explainer.fit().explain(images)


def prepare(images: npt.NDArray[np.uint8], settings: Settings) -> dict[str, Any]:
    """Group the training set and rank it; return rankings, numbers of samples and CPU times."""
    net, states = original(images, settings)
    model = wrap(net)
    rule = MeanMax(settings.threshold_samples, settings.threshold_repeats)
    start = time.process_time()
    explanation = grouped(model, rule, images)
    explained = time.process_time() - start
    group, value = np.asarray(explanation.group), np.asarray(explanation.anchor_value)

    scorer = Scorer(model, [criteria.make("kld"), criteria.make("mse")])
    start = time.process_time()
    scorer.score(open_anchors(images, sample_shape=(1, 28, 28)))
    scored = time.process_time() - start
    start = time.process_time()
    mean = influence(images, model, states, settings)
    traced = time.process_time() - start

    far, near = np.flatnonzero(group != "HIHE"), np.flatnonzero(group == "HIHE")
    strict = grouped(model, MeanMax(settings.authors_samples, 3), images)
    return {
        "rankings": {
            NON_HIHE: far[np.argsort(-value[far], kind="stable")].tolist(),
            HIHE: near[np.argsort(value[near], kind="stable")].tolist(),
            TRACIN: np.argsort(mean, kind="stable").tolist(),
        },
        "groups": {name: int((group == name).sum()) for name in GROUPS},
        "thresholds": dict(explanation.thresholds),
        "non_hihe": len(far),
        "non_hihe_with_3_maxima_of_authors_samples": int(
            (np.asarray(strict.group) != "HIHE").sum()
        ),
        "cpu_seconds": {
            "pxgen_scoring": scored,
            "pxgen_calibration_and_scoring": explained,
            "vae_tracin": traced,
            "vae_tracin / pxgen_scoring": traced / scored,
            "vae_tracin / pxgen_calibration_and_scoring": traced / explained,
            "setting": f"{len(images)} training images, one thread; VAE-TracIn: {len(states)} "
            f"checkpoints x {settings.generated} generated images, 1 draw, all parameters",
        },
    }


def prepared(
    images: npt.NDArray[np.uint8], settings: Settings, folder: Path | None
) -> dict[str, Any]:
    """Return what :func:`prepare` returned in an earlier run of ``folder``, or now."""
    path = None if folder is None else folder / "setup.json"
    wanted = json.loads(json.dumps(asdict(settings)))
    if path is not None and path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["settings"] == wanted:
            return dict(found["setup"])
    setup = prepare(images, settings)
    if path is not None:
        write_atomic(path, json.dumps({"settings": wanted, "setup": setup}).encode())
    return setup


def experiment(
    images: npt.NDArray[np.uint8],
    settings: Settings,
    setup: dict[str, Any],
    folder: Path | None,
    jobs: int,
) -> RemovalExperiment:
    """Return the experiment on the rankings of ``setup``."""
    ranked = {name: np.array(order, dtype=np.int64) for name, order in setup["rankings"].items()}
    whole = len(ranked[NON_HIHE])
    counts = [round(whole * percent / 100) for percent in settings.percents]
    control = [round(whole * percent / 100) for percent in settings.control]
    recipe = settings.recipe
    return RemovalExperiment(
        Retrain(images, recipe),
        len(images),
        {NON_HIHE: ranked[NON_HIHE], HIHE: ranked[HIHE], RANDOM: "random", TRACIN: ranked[TRACIN]},
        {"epochs": counts, **({"steps": control} if control else {})},
        features={"LeNet": lenet, "4 x 4 pixel means": pixels},
        distances={"Frechet distance": frechet_distance},
        whole=whole,
        n_samples=settings.n_samples,
        seeds=range(REFERENCE_SEED + 1, REFERENCE_SEED + 1 + settings.n_seeds),
        reference_seed=REFERENCE_SEED,
        tag=f"MNISTVAE, fused Adam, {recipe}",
        folder=folder,
        n_jobs=jobs,
        verbose=True,
    )


def write(result: RemovalResult, folder: Path, command: str) -> list[Path]:
    """Write result, tables with ``command`` below, and figure into ``folder``; return the files."""
    base = folder / f"removal_digit{result.about['settings']['digit']}"
    files = [base.with_suffix(suffix) for suffix in (".json", ".md", ".png")]
    write_atomic(files[0], result.to_json().encode())
    write_atomic(files[1], (result.to_markdown() + command).encode())
    figure = plots.plot_removal(result)[0].get_figure(root=True)
    figure.savefig(files[2], dpi=150, bbox_inches="tight")
    plt.close(figure)
    return files


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    _log.setLevel(logging.INFO)
    default = Settings()
    parser = argparse.ArgumentParser(
        description="Remove training samples of an MNIST VAE by group, and retrain.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--digit", type=int, choices=range(10), default=default.digit)
    parser.add_argument("--seeds", type=int, default=default.n_seeds, help="number of seeds")
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--threshold-samples", type=int, default=default.threshold_samples)
    parser.add_argument("--threshold-repeats", type=int, default=default.threshold_repeats)
    parser.add_argument(
        "--control",
        type=int,
        nargs="*",
        default=default.control,
        metavar="PERCENT",
        help="where to train at equal steps too",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--output", type=Path, default=Path("output/removal_mnist"))
    parser.add_argument("--folder", type=Path, help="where points are kept, to go on later")
    parser.add_argument("--small", action="store_true", help="small settings, to see that it runs")
    given = parser.parse_args(argv)
    settings = replace(
        default,
        epochs=given.epochs,
        threshold_samples=given.threshold_samples,
        threshold_repeats=given.threshold_repeats,
        control=tuple(given.control),
        n_seeds=given.seeds,
    )
    settings = replace(SMALL if given.small else settings, digit=given.digit)

    mpl.use("Agg")
    torch.set_num_threads(1)  # the same bits whatever the machine
    images = load_mnist("train", digits=settings.digit)[0][: settings.n_images]
    setup = prepared(images, settings, given.folder)
    _log.info("groups of the training set: %s", setup["groups"])
    result = experiment(images, settings, setup, given.folder, given.jobs).run()
    about = {key: value for key, value in setup.items() if key != "rankings"}
    result = replace(result, about={"settings": asdict(settings), **about})
    files = write(result, given.output, signature(__file__, argv))
    _log.info("%s\nwrote %s", result.to_markdown(), ", ".join(str(file) for file in files))


if __name__ == "__main__":
    main()
