"""Explore the shipped VAE and DCGAN of digits: sliders, groups, painting, walks, both side by side.

    python examples/explore.py            # the VAE first, the DCGAN beside it
    python examples/explore.py --first DCGAN
    python examples/explore.py --task     # ten questions: make the picture like the target

It opens a page in the browser, served on this machine alone, and ends with Ctrl-C. The anchors are
test digits, some of them on their side; thresholds come from other test digits, so that at most 5%
of new ones fall outside HIHE. Sliders are the latent dimensions and a direction along which a digit
gets more ink; units of the VAE are named by the concepts that they match. Setting up takes about
half a minute of one core.
"""

from __future__ import annotations

import argparse
import logging
import os
from typing import Any

import numpy as np
from torch import Tensor

from pxgen_plugins import PXGen
from pxgen_plugins.adapters import AssessorDirection, UnitDissection
from pxgen_plugins.axes import dimensions
from pxgen_plugins.concepts import Edge, Threshold
from pxgen_plugins.datasets import load_mnist, load_mnist_conv_vae, load_mnist_gan
from pxgen_plugins.evaluation import ReconstructionTask
from pxgen_plugins.explorer import Session, serve
from pxgen_plugins.models import GAN, VAE
from pxgen_plugins.models.inversion import Inversion
from pxgen_plugins.thresholds import Conformal

_log = logging.getLogger("explore")
CRITERIA = {"VAE": ("kld", "mse"), "DCGAN": ("discriminator", "nearest_sample")}


def models(first: str = "VAE") -> dict[str, Any]:
    """Return the shipped models, ``first`` before the other; the GAN's inversion is short."""
    generator, discriminator = load_mnist_gan()
    gan = GAN(
        generator,
        discriminator=discriminator,
        latent_shape=(generator.latent_size,),
        inversion=Inversion(steps=40, restarts=1, bank=256),
    )
    vae = VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28), data_range=(0.0, 1.0))
    both = {"VAE": vae, "DCGAN": gan}
    return {first: both[first], **both}


def ink(x: Tensor) -> Tensor:
    """Return how much of each picture is white, (n,)."""
    return x.flatten(1).mean(1)


def open_session(first: str = "VAE", n_anchors: int = 400, quick: bool = False) -> Session:
    """Return the session of both models.

    Args:
        first: The model that is explored; the other is compared with it.
        n_anchors: Test digits; every fourth lies on its side.
        quick: Tiny sizes, to see that it runs.
    """
    images, digits = load_mnist("test")
    anchors, labels = images[:n_anchors].copy(), digits[:n_anchors].astype(str)
    anchors[::4] = np.rot90(anchors[::4], axes=(1, 2))
    labels[::4] = "on its side"
    reference = images[-200:] if quick else images[-2_000:]
    both, n = models(first), 10 if quick else 100
    rule = Conformal(0.05, joint=True, source="reference")
    explainers = {
        name: PXGen(model, *CRITERIA[name], rule, n_representatives=7).fit(reference)
        for name, model in both.items()
    }
    model = both[first]
    found = AssessorDirection(model, {"ink": ink}, n_steps=5 if quick else 40, n_codes=n)
    found.explain(None)
    axes = [*(found.axes or []), *dimensions(model.latent_shape)]
    concepts = {"ink": Threshold(0.5), "horizontal edge": Edge("horizontal")}
    units = UnitDissection(model, concepts, n_codes=n, n_effect=0).explain(None)
    title = f"{first} of handwritten digits"
    return Session(both, anchors, explainers, axes, labels=labels, units=units, title=title)


def main(argv: list[str] | None = None) -> None:
    """Serve the page until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Explore the shipped VAE and DCGAN.")
    parser.add_argument("--first", choices=tuple(CRITERIA), default="VAE")
    parser.add_argument("--task", action="store_true", help="the reconstruction task alone")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--no-browser", action="store_true", help="log the address only")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    browser = not options.no_browser and "CI" not in os.environ
    if options.task:
        vae = models()["VAE"]
        task = ReconstructionTask(vae, load_mnist("test")[0][:500], n_questions=10)
        log = task.play(host="browser", port=options.port, open_browser=browser)
        _log.info("%s", log.summary() if log.trials else "no question was begun")
        return
    with serve(open_session(options.first), port=options.port, open_browser=browser) as server:
        _log.info("%s\npress Ctrl-C to stop", server.url)
        try:
            server.wait()
        except KeyboardInterrupt:
            _log.info("stopped")


if __name__ == "__main__":
    main()
