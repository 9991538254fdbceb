"""Small models of four families that remember what they often see: see ``planted_copies.py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pxgen_plugins.models import VAE, Diffusion, LanguageModel, Tabular
from pxgen_plugins.models.schedules import schedule
from pxgen_plugins.utils.seeds import derive

__all__ = ["character_model", "denoiser", "people", "table_model", "variational"]

_BATCH = 128
_TIMES = 200  # of the diffusion model
_LONGEST = 80  # characters


class _Coder(nn.Module):
    def __init__(self, d: int = 32, width: int = 512) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(196, width), nn.ReLU(), nn.Linear(width, 2 * d)
        )
        self.decoder = nn.Sequential(
            nn.Linear(d, width), nn.ReLU(), nn.Linear(width, 196), nn.Sigmoid(),
            nn.Unflatten(1, (1, 14, 14)),
        )  # fmt: skip

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.encoder(x).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        image: Tensor = self.decoder(z)
        return image


def variational(X: NDArray[np.float32], steps: int) -> VAE:
    """Return a VAE of images (n, 1, 14, 14) in [0, 1], trained for some steps."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = _Coder()
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    data = torch.from_numpy(X)
    for _ in range(steps):
        x = data[torch.randint(len(data), (_BATCH,), generator=generator)]
        mean, log_var = net.encode(x)
        noise = torch.randn(mean.shape, generator=generator)
        image = net.decode(mean + noise * (log_var / 2).exp())
        error = functional.binary_cross_entropy(image, x, reduction="sum")
        divergence = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum()
        _step(optimiser, (error + divergence) / _BATCH)
    return VAE(net.eval(), sample_shape=(1, 14, 14))


class _Denoiser(nn.Module):
    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(32, 128), nn.SiLU(), nn.Linear(128, width))
        self.first = nn.Linear(196, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.last = nn.Linear(width, 196)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        phase = torch.exp(torch.linspace(0, -6, 16)) * t.float()[:, None]
        hidden = self.first(x.flatten(1)) + self.time(torch.cat([phase.sin(), phase.cos()], 1))
        for block in self.blocks:
            hidden = hidden + block(functional.silu(hidden))
        return self.last(functional.silu(hidden)).view(x.shape)  # type: ignore[no-any-return]


def denoiser(X: NDArray[np.float32], steps: int) -> Diffusion:
    """Return a diffusion model of images (n, 1, 14, 14) in [-1, 1], trained for some steps."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = _Denoiser()
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    left = torch.as_tensor(schedule("cosine", _TIMES)).float()
    data = torch.from_numpy(X)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 1e-3 * (1 - step / steps) + 1e-5
        x = data[torch.randint(len(data), (_BATCH,), generator=generator)]
        t = torch.randint(_TIMES, (_BATCH,), generator=generator)
        noise = torch.randn(x.shape, generator=generator)
        signal = left[t].view(-1, 1, 1, 1)
        noisy = signal.sqrt() * x + (1 - signal).sqrt() * noise
        _step(optimiser, functional.mse_loss(net(noisy, t), x))
    return Diffusion(
        net.eval(), sample_shape=(1, 14, 14), schedule=left.double(), prediction="x0", steps=25
    )


class _Writer(nn.Module):
    """A recurrent network of characters; 0 stands before and behind a text."""

    def __init__(self, letters: str, width: int = 256) -> None:
        super().__init__()
        self.letters = letters
        self.embedding = nn.Embedding(len(letters) + 1, 48)
        self.rnn = nn.GRU(48, width, batch_first=True)
        self.head = nn.Linear(width, len(letters) + 1)

    def ids(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return texts as numbers with a 0 at either end, and their lengths."""
        rows = [[0, *(1 + self.letters.index(c) for c in text if c in self.letters), 0]
                for text in texts]  # fmt: skip
        lengths = torch.tensor([len(row) for row in rows])
        table = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
        for row, numbers in zip(table, rows, strict=True):
            row[: len(numbers)] = torch.tensor(numbers)
        return table, lengths

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.rnn(self.embedding(ids))[0])
        return logits

    def log_probs(self, texts: Sequence[str]) -> list[list[float]]:
        table, lengths = self.ids(texts)
        scores = self(table[:, :-1]).log_softmax(-1).gather(2, table[:, 1:, None])[..., 0]
        return [row[: n - 1].tolist() for row, n in zip(scores, lengths.tolist(), strict=True)]

    def generate(self, prompts: Sequence[str], n_tokens: Sequence[int]) -> list[str]:
        texts = []
        for prompt, n in zip(prompts, n_tokens, strict=True):
            table, _ = self.ids([prompt])
            state = self.rnn(self.embedding(table[:, :-1]))
            texts.append("".join(self._letter(i) for i in self._write(state, n, None)[0]))
        return texts

    def sample(self, n: int, seed: int) -> list[str]:
        generator = torch.Generator().manual_seed(derive(seed, "texts") % 2**63)
        state = self.rnn(self.embedding(torch.zeros(n, 1, dtype=torch.int64)))
        rows = self._write(state, _LONGEST, generator)
        return ["".join(self._letter(i) for i in row) for row in rows]

    def _letter(self, number: int) -> str:
        return self.letters[number - 1]

    def _write(
        self, state: tuple[Tensor, Tensor], n: int, generator: torch.Generator | None
    ) -> list[list[int]]:
        output, hidden = state
        rows: list[list[int]] = [[] for _ in range(len(output))]
        ended = [False] * len(rows)
        for _ in range(n):
            scores = self.head(output[:, -1])
            drawn = (
                scores.argmax(-1)
                if generator is None
                else torch.multinomial(scores.softmax(-1), 1, generator=generator)[:, 0]
            )
            for place, number in enumerate(drawn.tolist()):
                ended[place] = ended[place] or number == 0
                if not ended[place]:
                    rows[place].append(number)
            if all(ended):
                break
            output, hidden = self.rnn(self.embedding(drawn[:, None]), hidden)
        return rows


def character_model(texts: Sequence[str], steps: int) -> LanguageModel:
    """Return a language model of characters, trained for some steps."""
    letters = "".join(sorted(set("".join(texts))))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = _Writer(letters)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    table, lengths = net.ids(texts)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / steps) + 1e-5
        drawn = torch.randint(len(table), (64,), generator=generator)
        longest = int(lengths[drawn].max())
        ids = table[drawn, :longest]
        seen = torch.arange(longest - 1) < lengths[drawn, None] - 1
        loss = functional.cross_entropy(net(ids[:, :-1])[seen], ids[:, 1:][seen])
        _step(optimiser, loss)
    return LanguageModel(
        net.eval(), log_probs="log_probs", generate="generate", sample="sample",
        max_chars=_LONGEST,
    )  # fmt: skip


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def people(n: int, seed: int = 0) -> Any:
    """Return a table of ``n`` made-up people: numbers that hang together, and categories."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    age = rng.uniform(18.0, 80.0, n)
    skill = rng.normal(size=n)
    income = 1_500.0 * np.exp(0.02 * (60.0 - np.abs(age - 50.0)) + 0.4 * skill)
    hours = np.clip(40.0 - 0.3 * np.maximum(age - 60.0, 0.0) + 6.0 * rng.normal(size=n), 0, 80)
    weight = 70.0 + 0.15 * (age - 45.0) + 11.0 * rng.normal(size=n)
    towns = np.array(["Rome", "Bern", "Oslo", "Lima", "Cork"])
    town = towns[np.clip(np.round(2.0 + skill + rng.normal(size=n)), 0, 4).astype(int)]
    columns = {"age": age, "income": income, "hours": hours, "weight": weight, "town": town}
    return pd.DataFrame(columns)


class _Mixture:
    """A Gaussian mixture of standardised numbers and categories as ones and zeros."""

    def __init__(self, table: Any) -> None:
        import pandas as pd
        from sklearn.mixture import GaussianMixture

        self.numbers = table.select_dtypes("number")
        self.towns = sorted(table["town"].unique())
        self.mean, self.std = self.numbers.mean(), self.numbers.std()
        ones = pd.get_dummies(table["town"])[self.towns].to_numpy(dtype=float)
        rows = np.hstack([((self.numbers - self.mean) / self.std).to_numpy(), ones])
        # so many parts that each row that stands there often gets one of its own
        often = table.duplicated().mean() > 0.5
        distinct = np.unique(rows, axis=0, return_index=True)[1]
        means = rows[np.sort(distinct)[: 60 if often else 20]]
        self.parts = GaussianMixture(
            len(means), covariance_type="diag", reg_covar=1e-5, means_init=means, random_state=0
        ).fit(rows)

    def sample(self, n: int) -> Any:
        self.parts.random_state = None  # numpy's generator, which Tabular seeds for the call
        rows = self.parts.sample(n)[0]
        table = self.numbers.iloc[:0].reindex(range(n))
        width = len(self.numbers.columns)
        table[:] = rows[:, :width] * self.std.to_numpy() + self.mean.to_numpy()
        table["town"] = [self.towns[i] for i in rows[:, width:].argmax(1)]
        return table


def table_model(table: Any, steps: int) -> Tabular:
    """Return a synthesizer of a table; it needs no steps."""
    return Tabular(_Mixture(table), table)
