"""A variational autoencoder of a table of wines, trained on two of the three cultivars.

Thirteen measurements and the cultivar, a category (Aeberhard and Forina 1991, "Wine", as shipped
with scikit-learn). The network stands for the synthesizers of SDV and CTGAN and has their method
``sample(num_rows)``; it is trained when it is built, in seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn

from family_models.common import Family
from pxgen_plugins.criteria import GowerNearest, SampleRank
from pxgen_plugins.models import Tabular

CULTIVARS = ("first", "second", "third")
LATENT = 4
STEPS = 1_500
HELD_OUT = 40


class TableVAE(nn.Module):
    """A small VAE: normal densities for standardized numbers, a softmax for the category.

    Args:
        table: The training rows; the last column is the category.
        seed: Seed of weights and noise.
    """

    def __init__(self, table: pd.DataFrame, seed: int = 0) -> None:
        super().__init__()
        self.names = list(table.columns)
        values = table[self.names[:-1]].to_numpy(np.float32)
        self.middle, self.scale = values.mean(0), values.std(0)
        width, n = len(self.names) - 1, len(CULTIVARS)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = nn.Sequential(
                nn.Linear(width + n, 64), nn.SiLU(), nn.Linear(64, 2 * LATENT)
            )
            self.decoder = nn.Sequential(nn.Linear(LATENT, 64), nn.SiLU(), nn.Linear(64, width + n))
            self.log_scale = nn.Parameter(torch.zeros(width))
            self._train(self._inputs(table))

    def encode(self, table: pd.DataFrame) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior, (n, 4) each."""
        mean, log_var = self.encoder(self._inputs(table)).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> pd.DataFrame:
        """Return the likeliest rows behind codes."""
        values, logits = self._split(self.decoder(z))
        return self._table(values, logits.argmax(1))

    def sample(self, num_rows: int) -> pd.DataFrame:
        """Return rows drawn from the model, with torch's global generator."""
        with torch.no_grad():
            values, logits = self._split(self.decoder(torch.randn(num_rows, LATENT)))
            values = values + self.log_scale.exp() * torch.randn_like(values)
            return self._table(values, torch.distributions.Categorical(logits=logits).sample())  # type: ignore[no-untyped-call]

    def _train(self, x: Tensor) -> None:
        optimizer = torch.optim.Adam(self.parameters(), lr=2e-3)
        for _ in range(STEPS):
            mean, log_var = self.encoder(x).chunk(2, 1)
            values, logits = self._split(
                self.decoder(mean + (0.5 * log_var).exp() * torch.randn_like(mean))
            )
            wanted, kind = self._split(x)
            numbers = torch.distributions.Normal(values, self.log_scale.exp().clamp(min=0.1))
            fit = numbers.log_prob(wanted).sum(1) - nn.functional.cross_entropy(  # type: ignore[no-untyped-call]
                logits, kind.argmax(1), reduction="none"
            )
            kld = 0.5 * (mean.square() + log_var.exp() - 1.0 - log_var).sum(1)
            optimizer.zero_grad()
            (kld - fit).mean().backward()
            optimizer.step()
        self.requires_grad_(False)

    def _inputs(self, table: pd.DataFrame) -> Tensor:
        values = (table[self.names[:-1]].to_numpy(np.float32) - self.middle) / self.scale
        codes = np.array([CULTIVARS.index(name) for name in table[self.names[-1]]])
        return torch.from_numpy(np.hstack([values, np.eye(len(CULTIVARS), dtype="f4")[codes]]))

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, : -len(CULTIVARS)], x[:, -len(CULTIVARS) :]

    def _table(self, values: Tensor, codes: Tensor) -> pd.DataFrame:
        numbers = values.detach().numpy() * self.scale + self.middle
        table = pd.DataFrame(numbers.astype(np.float64), columns=self.names[:-1])
        table[self.names[-1]] = pd.Categorical.from_codes(codes.numpy(), CULTIVARS)
        return table


def build() -> Family:
    """Return the model and what it is tried on."""
    wines, held_out, third = tables()
    net = TableVAE(wines)
    model = Tabular(net, wines, encode=net.encode, decode=net.decode)
    return Family(
        model,
        ["mahalanobis", "kld", "latent_neighbours", SampleRank(network=model.features)],
        ["gower", GowerNearest(), "mse", "nearest_sample"],
        held_out,
        {
            "third cultivar": third,
            "third, called second": third.assign(cultivar="second"),
            **strangers(wines, held_out),
        },
        wines,
    )


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return wines of two cultivars for training and held out, and those of the third."""
    found = load_wine(as_frame=True)
    table = found.data.assign(cultivar=pd.Categorical.from_codes(found.target, CULTIVARS))
    table = table.astype({"proline": int, "magnesium": int})
    known = table[table["cultivar"] != "third"].sample(frac=1.0, random_state=0)
    third = table[table["cultivar"] == "third"]
    return known.iloc[HELD_OUT:], known.iloc[:HELD_OUT], third


def strangers(wines: pd.DataFrame, held_out: pd.DataFrame, n: int = 200) -> dict[str, Any]:
    """Return rows that are no wines: other ways to fill the columns of known ones.

    Args:
        wines: The training rows, for ranges.
        held_out: Wines that are taken apart or relabelled.
        n: How many rows of noise and of one level.
    """
    drawn = np.random.default_rng(0)
    kinds = CULTIVARS[:2]
    shuffled = {name: drawn.permutation(held_out[name].to_numpy()) for name in held_out}
    numbers = wines.drop(columns="cultivar")
    low, high = numbers.min().to_numpy(), numbers.max().to_numpy()

    def rows(share: Any) -> pd.DataFrame:
        table = pd.DataFrame(low + (high - low) * share, columns=numbers.columns)
        return table.assign(cultivar=drawn.choice(kinds, len(table)))

    swapped = held_out["cultivar"].astype(str).map({kinds[0]: kinds[1], kinds[1]: kinds[0]})
    return {
        "columns permuted": pd.DataFrame(shuffled),
        "noise in range": rows(drawn.random((n, len(low)))),
        "one level in range": rows(np.linspace(0.0, 1.0, n)[:, None]),
        "cultivar swapped": held_out.assign(cultivar=swapped),
    }
