"""Small networks, each put together as a well-known kind of public repository does it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Laplace, Normal
from torch.nn import functional as F

SIDE, D = 8, 3
PIXELS = SIDE * SIDE
IMAGE = (1, SIDE, SIDE)


def reparameterise(mean: Tensor, log_var: Tensor) -> Tensor:
    return mean + torch.exp(0.5 * log_var) * torch.randn_like(log_var)


class TutorialVAE(nn.Module):
    """Methods on flat pixels; forward takes images: the first VAE of every tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(PIXELS, 16), nn.Linear(16, D), nn.Linear(16, D)
        self.fc3, self.fc4 = nn.Linear(D, 16), nn.Linear(16, PIXELS)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        return self.fc21(h), self.fc22(h)

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encode(x.view(-1, PIXELS))
        return self.decode(reparameterise(mean, log_var)), mean, log_var

    def truth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.encode(x.flatten(1))


def conv_encoder(out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.Flatten(),
        nn.Linear(4 * 16, out),
    )  # fmt: skip


def conv_decoder() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(D, 4 * 16), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 1, 4, 2, 1),
        nn.Sigmoid(),
    )  # fmt: skip


class HeadsVAE(nn.Module):
    """Sub-modules encoder, decoder and two heads; the order of forward's results is given."""

    def __init__(self, order: tuple[int, ...] = (0, 1, 2), noisy: bool = True) -> None:
        super().__init__()
        self.order, self.noisy = order, noisy
        self.encoder, self.decoder = conv_encoder(16), conv_decoder()
        self.fc_logvar, self.fc_mu = nn.Linear(16, D), nn.Linear(16, D)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        mean, log_var = self.truth(x)
        z = reparameterise(mean, log_var) if self.noisy or self.training else mean
        results = (self.decoder(z), mean, log_var, x, z)
        return tuple(results[place] for place in self.order)

    def truth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x)
        return self.fc_mu(h), self.fc_logvar(h)


class LightningVAE(HeadsVAE):
    """Forward gives the reconstruction alone, drawn by a distribution's rsample."""

    def forward(self, x: Tensor) -> Tensor:
        mean, log_var = self.truth(x)
        return self.decoder(Normal(mean, torch.exp(log_var / 2)).rsample())


class PairVAE(nn.Module):
    """Sub-modules whose encoder gives both, standard deviation second; a dict comes out."""

    class Encoder(nn.Module):
        """Mean and standard deviation."""

        def __init__(self) -> None:
            super().__init__()
            self.net = conv_encoder(2 * D)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            a, b = self.net(x).chunk(2, 1)
            return a, F.softplus(b) + 0.1

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = self.Encoder(), conv_decoder()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        mean, std = self.encoder(x)
        recon = self.decoder(mean + std * torch.randn(std.shape))
        return {"loss": (recon - x).square().sum((1, 2, 3)), "recon": recon, "mu": mean, "std": std}

    def truth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self.encoder(x)
        return mean, 2 * std.log()


class HalvesVAE(nn.Module):
    """A beta-VAE: the encoder's last layer is twice as wide as the code; logits are decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = conv_encoder(2 * D)
        self.decoder = nn.Sequential(*list(conv_decoder())[:-1])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.truth(x)
        return torch.sigmoid(self.decoder(reparameterise(mean, log_var))), mean, log_var

    def truth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        distributions = self.encoder(x)
        return distributions[:, :D], distributions[:, D:]


class SwappedVAE(TutorialVAE):
    """Its encode gives the log variance first."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.fc1(x.flatten(1)))
        return self.fc22(h), self.fc21(h)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_var, mean = self.encode(x)
        return self.decode(reparameterise(mean, log_var)), mean, log_var

    def truth(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_var, mean = self.encode(x)
        return mean, log_var


class HiddenVAE(nn.Module):
    """Between code and decoder lies a layer that only forward knows."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.fc_mu, self.fc_var = conv_encoder(16), nn.Linear(16, D), nn.Linear(16, D)
        self.decoder_input = nn.Linear(D, 64)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> list[Tensor]:
        h = self.encoder(x)
        mean, log_var = self.fc_mu(h), self.fc_var(h)
        z = self.decoder_input(reparameterise(mean, log_var))
        return [self.decoder(z.view(-1, 4, 4, 4)), x, mean, log_var]


class PlainAutoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = conv_encoder(D), conv_decoder()

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class Quantised(PlainAutoencoder):
    """Something lies between encoder and decoder, as in a VQ-VAE."""

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x).mul(4).round() / 4 + 0.1)


class Distributed(nn.Module):
    """Methods that give distributions: a Laplace posterior, Bernoulli pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(PIXELS, D), nn.Linear(D, PIXELS)

    def encode(self, x: Tensor) -> Laplace:
        return Laplace(self.down(x.flatten(1)), torch.tensor(1.0))

    def decode(self, z: Tensor) -> Independent:
        return Independent(Bernoulli(logits=self.up(z).view(-1, *IMAGE)), 3)


class Posterior(nn.Module):
    """An encoder that gives a distribution."""

    def __init__(self, net: nn.Module, mean: nn.Module, log_var: nn.Module) -> None:
        super().__init__()
        self.net, self.mean, self.log_var = net, mean, log_var

    def forward(self, x: Tensor) -> Independent:
        h = self.net(x)
        return Independent(Normal(self.mean(h), (0.5 * self.log_var(h)).exp()), 1)


class Pixels(nn.Module):
    """A decoder that gives a distribution."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Independent:
        return Independent(Bernoulli(probs=self.net(z)), 3)


class DCGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(D, 4, 4, 1, 0), nn.BatchNorm2d(4), nn.ReLU(True),
            nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z)


class LightningGAN(nn.Module):
    """Both networks inside one module, whose forward generates; the discriminator ends so."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = DCGenerator()
        self.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 1), nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)


class UNet(nn.Module):
    """The network of a DDPM."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)
        self.time = nn.Linear(1, 4)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.up(F.silu(self.down(x) + self.time(t[:, None] / 1000)[:, :, None, None]))


class DDPM(nn.Module):
    """A U-Net with its schedule; forward gives the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.model = UNet()
        betas = torch.linspace(1e-4, 0.02, 50)
        self.register_buffer("alphas_cumprod", torch.cumprod(1 - betas, 0))

    def forward(self, x: Tensor) -> Tensor:
        t = torch.randint(0, 50, (len(x),))
        noise = torch.randn_like(x)
        left = self.alphas_cumprod[t][:, None, None, None]
        return F.mse_loss(self.model(left.sqrt() * x + (1 - left).sqrt() * noise, t), noise)


class RealNVP(nn.Module):
    """Affine couplings with the masks of the paper, and a density."""

    def __init__(self, density: bool = True) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in range(3)
        )
        masks = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])
        self.register_buffer("masks", masks)
        if density:
            self.log_prob = self._log_prob
            self.sample = lambda n: self.inverse(torch.randn(n, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        volume = torch.zeros(len(x))
        for net, mask in zip(self.nets, self.masks, strict=True):
            s, t = (net(x * mask) * (1 - mask).repeat(2)).chunk(2, 1)
            x, volume = x * s.exp() + t, volume + s.sum(1)
        return x, volume

    def inverse(self, z: Tensor) -> Tensor:
        for net, mask in reversed(list(zip(self.nets, self.masks, strict=True))):
            s, t = (net(z * mask) * (1 - mask).repeat(2)).chunk(2, 1)
            z = (z - t) * (-s).exp()
        return z

    def _log_prob(self, x: Tensor) -> Tensor:
        z, volume = self(x)
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1) + volume
