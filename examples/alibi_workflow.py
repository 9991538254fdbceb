"""PXGen in a loop over Alibi's own explainers, unchanged: fit, explain, Explanation.

    python examples/alibi_workflow.py

Every explainer below has the same interface and gets the same anchors. Alibi's work on a function
of latent codes (the criterion "kld"); PXGen takes the model itself.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alibi.explainers import ALE, PartialDependence
from mnist_zeros import anchors, wrap

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist_vae
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.files import write_atomic


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="PXGen among Alibi's explainers.")
    parser.add_argument("--output", type=Path, default=Path("output/alibi_workflow"))
    parser.add_argument("--n-anchors", type=int, default=500)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    images, labels = anchors()
    some = np.linspace(0, len(images) - 1, given.n_anchors).round().astype(int)
    model = wrap(load_mnist_vae())
    x = torch.from_numpy(images[some, None]).float() / 255
    with torch.no_grad():
        codes = model.encode(x)[0].numpy()

    @torch.no_grad()
    def mse(z: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
        """Return by how much each decoded code differs when it is encoded and decoded again."""
        decoded = model.decode(torch.from_numpy(z).float())
        return (decoded - model.reconstruct(decoded)).square().flatten(1).mean(1).numpy()

    explainers: list[tuple[Any, Any, dict[str, Any]]] = [
        (ALE(mse, target_names=["mse"]), codes, {"features": [0, 1, 2]}),
        (PartialDependence(mse, target_names=["mse"]), codes, {"features": [0, 1, 2]}),
        (PXGen(model, threshold=MeanMax(2_000, 5)), images[some], {"labels": labels[some]}),
    ]
    for explainer, data, options in explainers:
        if hasattr(explainer, "fit"):
            explainer.fit()
        explanation = explainer.explain(data, **options)
        text = explanation.to_json()
        write_atomic(given.output / f"{explanation.meta['name']}.json", text.encode())
        keys = ", ".join(sorted(json.loads(text)["data"])[:6])
        logging.info("%-18s %s: %s, ...", explanation.name, explanation.explanations, keys)


if __name__ == "__main__":
    main()
