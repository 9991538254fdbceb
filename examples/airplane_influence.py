"""Whether each airplane is its own strongest proponent under VAE-TracIn, on a published VAE.

    python examples/airplane_influence.py

The check of Kong and Chaudhuri (2021, section 4.1) on their own weights: for a training sample the
sample of highest influence, the strongest proponent, should be the sample itself. Their beta-VAE of
CIFAR-10's airplanes and the training images lie beside the repository, in ``../shared``; without
them the script says so and ends. Into ``--output`` go ``airplane_influence.json`` and the same as
Markdown: the share of images that are their own strongest proponent, for each checkpoint and for
the sum over checkpoints.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from family_models.beta_vae import grown
from family_models.common import beside
from family_models.published import AirplaneNet
from numpy.typing import NDArray
from safetensors.torch import load_file
from signature import signature

from pxgen_plugins.adapters import VAETracIn
from pxgen_plugins.models import VAE
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import markdown_table
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("airplane_influence")
STEPS = (50_000, 500_000, 1_000_000, 1_500_000)
LEARNING_RATE = 3e-4
BETA = 2.0


def influence(images: NDArray[np.float32], step: int, n_draws: int) -> NDArray[np.float64]:
    """Return the influence of each image (row) on each (column) at one checkpoint, (n, n)."""
    path = beside("models", f"tracin_cifar_airplane_{step}.safetensors")
    net = AirplaneNet()
    net.load_state_dict(load_file(path))
    explainer = VAETracIn(
        VAE(net, sample_shape=(3, 64, 64)),
        [(str(path), LEARNING_RATE)],
        beta=BETA,
        reduction="mean",
        n_draws=n_draws,
        batch_size=10,
    )
    found = explainer.fit(images).explain(images).influence
    return np.asarray(found, dtype=np.float64)


def own_proponents(scores: NDArray[np.float64]) -> float:
    """Return the share of images whose highest influence is their own."""
    return float((scores.argmax(0) == np.arange(len(scores))).mean())


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the script with ``argv``, those of the command line by default; return the shares."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="VAE-TracIn on the published airplane VAE.")
    parser.add_argument("--n-images", type=int, default=120)
    parser.add_argument("--n-draws", type=int, default=4, help="noise draws per image")
    parser.add_argument("--output", type=Path, default=Path("output/airplane_influence"))
    given = parser.parse_args(argv)
    try:
        data = beside("data", "cifar10_airplane_train.npz")
    except FileNotFoundError as error:
        parser.error(str(error))
    with np.load(data, allow_pickle=False) as file:
        images = grown(file["airplane_train"][: given.n_images])
    with one_thread():
        scores = {str(step): influence(images, step, given.n_draws) for step in STEPS}
    scores["sum"] = np.sum(list(scores.values()), axis=0)
    found: dict[str, Any] = {
        "n_images": given.n_images,
        "n_draws": given.n_draws,
        "share_own_strongest_proponent": {name: own_proponents(s) for name, s in scores.items()},
    }
    shares = found["share_own_strongest_proponent"]
    rows = [[name, f"{share:.3f}"] for name, share in shares.items()]
    head = ["checkpoint, training steps", "own strongest proponent, share"]
    text = (
        f"{given.n_images} training airplanes, {given.n_draws} noise draws.\n\n"
        + "\n".join(markdown_table(head, rows, n_left=0))
        + "\n"
        + signature(__file__, argv)
    )
    given.output.mkdir(parents=True, exist_ok=True)
    content = json.dumps(found, indent=1) + "\n"
    write_atomic(given.output / "airplane_influence.json", content.encode())
    write_atomic(given.output / "airplane_influence.md", text.encode())
    _log.info("%s", text)
    return found


if __name__ == "__main__":
    main()
