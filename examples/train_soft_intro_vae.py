"""Train a Soft-IntroVAE, the PXGen paper's second demonstration, on images of one kind.

A Soft-IntroVAE (Daniel and Tamar, 2021) is a VAE whose encoder also learns to tell real images from
the decoder's own, without a discriminator: it lowers the evidence bound of reconstructions and of
samples (the "fakes") by an exponential, while the decoder raises it. With s = 1 / (C H W), rec the
squared error summed over an image and KL the divergence of the posterior from N(0, I)::

    encoder: s (b_rec rec + b_kl KL) + 1/4 sum over both kinds of fakes of
             mean exp(-2 s (b_rec rec + b_neg KL))
    decoder: s (b_rec rec + b_kl / 2 sum KL(fakes) + gamma b_rec / 2 sum rec(fakes))

Their settings for CIFAR-10 are the defaults here (z = 128, batches of 32, b_neg = 256, gamma =
1e-8, Adam with 2e-4), but for the width of the network: a quarter of theirs, so that a processor
can train it. The images are in the ``npz`` file given by ``--data``, as an array ``auto_train`` of
shape (n, 32, 32, 3), uint8::

    python examples/train_soft_intro_vae.py --data cifar10_subset.npz --minutes 30

It writes weights in half precision (safetensors) and a JSON card with the settings, how far it got,
and the losses. Training stops after ``--epochs`` or ``--minutes``, whichever comes first.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn
from tqdm.auto import tqdm
from weight_card import write_weights

from pxgen_plugins.models import VAE

_log = logging.getLogger("train_soft_intro_vae")
SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run."""

    latent_size: int = 128
    width: int = 16
    batch_size: int = 32
    epochs: int = 400
    learning_rate: float = 2e-4
    b_rec: float = 1.0
    b_kl: float = 1.0
    b_neg: float = 256.0
    gamma: float = 1e-8
    seed: int = 0


class Residual(nn.Module):
    """Two convolutions with batch normalisation and a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations, (n, outputs, h, w)."""
        return nn.functional.leaky_relu(self.body(x) + self.shortcut(x), 0.2)


class SoftIntroVAE(nn.Module):
    """Encoder and decoder for colour images of 32 x 32 pixels.

    Three stages of ``width``, 2 ``width`` and 4 ``width`` channels on each side. The last layer is
    a convolution without sigmoid, so its images may leave [0, 1] a little.

    Args:
        latent_size: Number of latent dimensions.
        width: Channels of the first stage.
        seed: Seed of the initial weights.
    """

    def __init__(self, latent_size: int = 128, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        one, two, four = width, 2 * width, 4 * width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = nn.Sequential(
                nn.Conv2d(3, one, 5, padding=2, bias=False),
                nn.BatchNorm2d(one),
                nn.LeakyReLU(0.2),
                nn.AvgPool2d(2),
                Residual(one, two),
                nn.AvgPool2d(2),
                Residual(two, four),
                nn.AvgPool2d(2),
                nn.Flatten(),
                nn.Linear(16 * four, 2 * latent_size),
            )
            self.decoder = nn.Sequential(
                nn.Linear(latent_size, 16 * four),
                nn.ReLU(),
                nn.Unflatten(1, (four, 4, 4)),
                nn.Upsample(scale_factor=2),
                Residual(four, two),
                nn.Upsample(scale_factor=2),
                Residual(two, one),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(one, 3, 5, padding=2),
            )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior, (n, latent_size) each."""
        mean, log_var = self.encoder(x).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        """Return images (n, 3, 32, 32) for latent codes (n, latent_size)."""
        images: Tensor = self.decoder(z)
        return images


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_var)) || N(0, I)) of each image, nats, (n,)."""
    return -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(1)


def squared_error(x: Tensor, rebuilt: Tensor) -> Tensor:
    """Return the squared error of each image, summed over its values, (n,)."""
    return (x - rebuilt).square().flatten(1).sum(1)


class Trainer:
    """The two optimisers and one step of each.

    Args:
        net: The network, changed in place.
        recipe: The settings.
    """

    def __init__(self, net: SoftIntroVAE, recipe: Recipe) -> None:
        self.net, self.recipe = net, recipe
        self.scale = 1.0 / float(np.prod(SHAPE))
        rate = recipe.learning_rate
        self.encoder = torch.optim.Adam(net.encoder.parameters(), lr=rate, fused=True)
        self.decoder = torch.optim.Adam(net.decoder.parameters(), lr=rate, fused=True)
        self.generator = torch.Generator().manual_seed(recipe.seed)

    def noise(self, n: int) -> Tensor:
        """Return ``n`` draws from the prior."""
        return torch.randn(n, self.recipe.latent_size, generator=self.generator)

    def through(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a posterior draw, the KL divergence and the reconstruction of ``x``."""
        mean, log_var = self.net.encode(x)
        z = mean + (0.5 * log_var).exp() * self.noise(len(x))
        return z, kl_divergence(mean, log_var), self.net.decode(z)

    def step(self, x: Tensor) -> dict[str, float]:
        """Do one step of the encoder, then one of the decoder, on real images ``x``."""
        prior = self.noise(len(x))
        self.encoder_step(x, prior)
        return self.decoder_step(x, prior)

    def encoder_step(self, x: Tensor, prior: Tensor) -> None:
        """Raise the bound of real images, lower that of reconstructions and samples."""
        recipe, s = self.recipe, self.scale
        self.net.decoder.requires_grad_(False)
        _, kl, rebuilt = self.through(x)
        loss = s * (recipe.b_rec * squared_error(x, rebuilt) + recipe.b_kl * kl).mean()
        for fake in (rebuilt.detach(), self.net.decode(prior).detach()):
            _, fake_kl, again = self.through(fake)
            energy = recipe.b_rec * squared_error(fake, again) + recipe.b_neg * fake_kl
            loss = loss + 0.25 * (-2 * s * energy).exp().mean()
        self.encoder.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.encoder.step()
        self.net.decoder.requires_grad_(True)

    def decoder_step(self, x: Tensor, prior: Tensor) -> dict[str, float]:
        """Rebuild real images, and make reconstructions and samples look real to the encoder."""
        recipe, s = self.recipe, self.scale
        self.net.encoder.requires_grad_(False)
        with torch.no_grad():
            mean, log_var = self.net.encode(x)
            real_kl = kl_divergence(mean, log_var)
            z = mean + (0.5 * log_var).exp() * self.noise(len(x))
        rebuilt, fake = self.net.decode(z), self.net.decode(prior)
        error = squared_error(x, rebuilt)
        loss = recipe.b_rec * error
        kls = []
        for image in (rebuilt, fake):
            inner_mean, inner_log_var = self.net.encode(image)
            kls.append(kl_divergence(inner_mean, inner_log_var))
            code = (inner_mean + (0.5 * inner_log_var).exp() * self.noise(len(x))).detach()
            again = squared_error(image.detach(), self.net.decode(code))
            loss = loss + 0.5 * (recipe.b_kl * kls[-1] + recipe.gamma * recipe.b_rec * again)
        self.decoder.zero_grad()
        (s * loss.mean()).backward()  # type: ignore[no-untyped-call]
        self.decoder.step()
        self.net.encoder.requires_grad_(True)
        measured = {"rec": error, "kl": real_kl, "kl_rec": kls[0], "kl_fake": kls[1]}
        return {name: float(value.detach().mean()) for name, value in measured.items()}


def train(
    images: NDArray[np.uint8],
    recipe: Recipe,
    *,
    minutes: float = float("inf"),
    progress: bool = False,
) -> tuple[SoftIntroVAE, list[dict[str, float]]]:
    """Train on ``images``; return the network in evaluation mode and each epoch's mean measures.

    Args:
        images: uint8, (n, 32, 32, 3).
        recipe: The settings.
        minutes: Stop after the epoch in which this time is over.
        progress: Whether to show a bar on standard error.

    Raises:
        FloatingPointError: When a loss is not finite; the authors advise a larger ``b_neg`` then.
    """
    data = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255)
    data = data.contiguous(memory_format=torch.channels_last)  # a third faster on processors
    net = SoftIntroVAE(recipe.latent_size, recipe.width, recipe.seed).train()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer = Trainer(net, recipe)
    history: list[dict[str, float]] = []
    start = time.monotonic()
    bar = tqdm(range(recipe.epochs), desc="training", unit="epoch", disable=not progress)
    for _ in bar:
        order = torch.randperm(len(data), generator=trainer.generator)
        batches = torch.split(order, recipe.batch_size)
        # batch normalisation needs two images
        steps = [trainer.step(data[index]) for index in batches if len(index) > 1]
        mean = {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}
        if not all(np.isfinite(list(mean.values()))):
            raise FloatingPointError(f"a loss is not finite: {mean}; raise b_neg")
        history.append(mean)
        bar.set_postfix({name: f"{value:.1f}" for name, value in mean.items()})
        if time.monotonic() - start > 60 * minutes:
            break
    return net.eval(), history


def write(path: Path, net: SoftIntroVAE, recipe: Recipe, history: list[dict[str, float]]) -> None:
    """Write the weights in half precision to ``path`` and the card beside it."""
    state = net.state_dict().items()
    weights = {k: v.half() if v.is_floating_point() else v for k, v in state}
    card = {
        "title": "Soft-IntroVAE of CIFAR-10 automobiles",
        "licence": "Apache-2.0",
        "trained_by": "examples/train_soft_intro_vae.py",
        "recipe": asdict(recipe),
        "epochs_done": len(history),
        "epochs": [{k: round(v, 3) for k, v in epoch.items()} for epoch in history],
    }
    write_weights(path, weights, card, threads=torch.get_num_threads())


def load_model(path: Path) -> VAE:
    """Return the model whose weights :func:`write` wrote to ``path``, for PXGen."""
    card = json.loads(path.with_suffix(".json").read_text())
    net = SoftIntroVAE(card["recipe"]["latent_size"], card["recipe"]["width"])
    state = {
        k: v.float() if v.is_floating_point() else v for k, v in load(path.read_bytes()).items()
    }
    net.load_state_dict(state)
    net.eval()
    return VAE(
        net,
        modules=(),
        decode=lambda z: net.decode(z).clamp(0.0, 1.0),
        sample_shape=SHAPE,
        data_range=(0.0, 1.0),
    )


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    default = Recipe()
    parser = argparse.ArgumentParser(description="Train a Soft-IntroVAE on images of one kind.")
    parser.add_argument("--data", type=Path, required=True, help="npz with the images")
    parser.add_argument("--array", default="auto_train", help="name of the array in it")
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--width", type=int, default=default.width)
    parser.add_argument("--limit", type=int, help="use only the first images")
    parser.add_argument("--output", type=Path, default=Path("soft_intro_vae.safetensors"))
    given = parser.parse_args(argv)
    recipe = Recipe(width=given.width, epochs=given.epochs)
    images = np.load(given.data, allow_pickle=False)[given.array][: given.limit]
    torch.set_num_threads(1)  # another number sums in another order and gives other bits
    net, history = train(images, recipe, minutes=given.minutes, progress=True)
    write(given.output, net, recipe, history)
    _log.info("%d epochs, last %s; wrote %s", len(history), history[-1], given.output)


if __name__ == "__main__":
    main()
