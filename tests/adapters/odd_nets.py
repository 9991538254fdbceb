"""Small VAEs of odd structure, each seeded, and the anchors they are tried on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pxgen_plugins.models import VAE

__all__ = ["NETS", "OddNet", "build", "wrap"]


class InPlace(nn.Module):
    """Activations and a residual sum in place, behind convolutions and in the decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.a1 = nn.Conv2d(1, 4, 3, 2, 1), nn.LeakyReLU(0.2, inplace=True)
        self.c2, self.a2 = nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU(inplace=True)
        self.fc, self.up = nn.Linear(36, 6), nn.Linear(3, 36)
        self.a3, self.t, self.out = (
            nn.ELU(inplace=True),
            nn.ConvTranspose2d(4, 1, 2, 2),
            nn.Sigmoid(),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.a1(self.c1(x))
        wide = self.c2(h)
        wide.add_(h)  # what the call returns is dropped, as people write it
        wide *= 0.5
        self.a2(wide)
        mean, log_var = self.fc(wide.flatten(1)).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        h: Tensor = self.out(self.t(self.a3(self.up(z)).reshape(-1, 4, 3, 3)))
        return h


class SharedActivation(nn.Module):
    """One activation module in the encoder's two heads; unbounded vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.act = nn.Linear(6, 8), nn.Linear(6, 8), nn.ReLU()
        self.m, self.v, self.o = nn.Linear(8, 3), nn.Linear(8, 3), nn.Linear(3, 6)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.m(self.act(self.a(x))), self.v(self.act(self.b(x)))

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.o(z)
        return x


class TwoHeads(nn.Module):
    """A convolution per head, the one of the variance last; BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.n, self.a = nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU()
        self.m, self.v = nn.Conv2d(4, 3, 3), nn.Conv2d(4, 3, 3)
        self.u, self.b, self.t = nn.Linear(3, 36), nn.LeakyReLU(0.1), nn.ConvTranspose2d(4, 1, 2, 2)
        self.s = nn.Sigmoid()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.a(self.n(self.c(x)))
        return self.m(h).flatten(1), self.v(h).flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.s(self.t(self.b(self.u(z)).reshape(-1, 4, 3, 3)))
        return x


class LatentMap(nn.Module):
    """Spatial latents, no linear layer at all."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.a = nn.Conv2d(1, 4, 3, 1, 1), nn.ReLU()
        self.p, self.m, self.v = nn.AvgPool2d(2), nn.Conv2d(4, 1, 1), nn.Conv2d(4, 1, 1)
        self.t, self.s = nn.ConvTranspose2d(1, 1, 2, 2), nn.Sigmoid()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.p(self.a(self.c(x)))
        return self.m(h), self.v(h)

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.s(self.t(z))
        return x


class OneDimension(nn.Module):
    """One latent dimension; functional code between modules."""

    def __init__(self) -> None:
        super().__init__()
        self.e, self.h, self.d, self.t = (
            nn.Linear(5, 6),
            nn.Linear(6, 2),
            nn.Linear(1, 6),
            nn.Tanh(),
        )
        self.o = nn.Linear(6, 5)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.h(F.leaky_relu(self.e(x), 0.1))
        return 2.0 * h[:, :1], h[:, 1:]

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.o(self.t(self.d(z)))
        return x


class Signal(nn.Module):
    """Two channels of a one-dimensional signal."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.n, self.a = nn.Conv1d(2, 4, 4, 2, 1), nn.BatchNorm1d(4), nn.ReLU()
        self.f, self.u, self.t = (
            nn.Linear(16, 6),
            nn.Linear(3, 16),
            nn.ConvTranspose1d(4, 2, 4, 2, 1),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.f(self.a(self.n(self.c(x))).flatten(1)).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.t(self.u(z).reshape(-1, 4, 4))
        return x


class Saturated(nn.Module):
    """Outputs that are the ends of the range to the last bit of float32."""

    def __init__(self) -> None:
        super().__init__()
        self.e, self.d, self.t = nn.Linear(6, 6), nn.Linear(3, 6), nn.Tanh()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.e(x).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.t(self.d(z) + z.new_tensor([14.0, -14.0, 0.0, 0.0, 0.0, 0.0]))
        return x


class Grouped(nn.Module):
    """GroupNorm in encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.n, self.a = nn.Conv2d(1, 4, 3, 2, 1), nn.GroupNorm(2, 4), nn.SiLU()
        self.f, self.u, self.k = nn.Linear(36, 6), nn.Linear(3, 36), nn.GroupNorm(4, 4)
        self.t, self.s = nn.ConvTranspose2d(4, 1, 2, 2), nn.Sigmoid()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.f(self.a(self.n(self.c(x))).flatten(1)).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.s(self.t(self.k(self.u(z).reshape(-1, 4, 3, 3))))
        return x


class Attention(nn.Module):
    """Tokens of a signal attend to each other; an activation behind a layer on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.p, self.att = nn.Conv1d(1, 4, 2, 2), nn.MultiheadAttention(4, 2, batch_first=True)
        self.ln, self.w, self.g, self.h = (
            nn.LayerNorm(4),
            nn.Linear(4, 6),
            nn.GELU(),
            nn.Linear(6, 4),
        )
        self.u, self.t = nn.Linear(2, 16), nn.ConvTranspose1d(4, 1, 2, 2)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.p(x).transpose(1, 2)
        mixed, _ = self.att(tokens, tokens, tokens, need_weights=False)
        mean, log_var = self.h(self.g(self.w(self.ln(tokens + mixed)))).mean(1).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.t(self.u(z).reshape(-1, 4, 4))
        return x


@dataclass(frozen=True)
class OddNet:
    """A net, its shapes and its range."""

    kind: type[nn.Module]
    latent_shape: tuple[int, ...]
    sample_shape: tuple[int, ...]
    data_range: tuple[float, float] | None

    def anchors(self, n: int, seed: int = 1) -> np.ndarray:
        """Return n anchors inside the range, by a margin."""
        rng = np.random.default_rng(seed)
        if self.data_range is None:
            return rng.normal(size=(n, *self.sample_shape)).astype(np.float32)
        low, high = self.data_range
        share = 0.05 + 0.9 * rng.random((n, *self.sample_shape))
        return (low + (high - low) * share).astype(np.float32)


UNIT = (0.0, 1.0)
NETS = {
    "in_place": OddNet(InPlace, (3,), (1, 6, 6), UNIT),
    "shared_activation": OddNet(SharedActivation, (3,), (6,), None),
    "two_heads": OddNet(TwoHeads, (3,), (1, 6, 6), UNIT),
    "latent_map": OddNet(LatentMap, (1, 2, 2), (1, 4, 4), UNIT),
    "one_dimension": OddNet(OneDimension, (1,), (5,), None),
    "signal": OddNet(Signal, (3,), (2, 8), None),
    "saturated": OddNet(Saturated, (3,), (6,), (-1.0, 1.0)),
    "group_norm": OddNet(Grouped, (3,), (1, 6, 6), UNIT),
    "attention": OddNet(Attention, (2,), (1, 8), None),
}


def build(name: str) -> nn.Module:
    """Return the net of a name, with weights that make it react to its input."""
    with torch.random.fork_rng([]):
        torch.manual_seed(sum(map(ord, name)))
        net = NETS[name].kind()
        with torch.no_grad():
            for key, parameter in net.named_parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
                if parameter.ndim > 1 and "att" not in key:
                    parameter.mul_(1.5)
            for key, buffer in net.named_buffers():
                if key.endswith("running_mean"):
                    buffer.add_(0.3 * torch.randn(buffer.shape))
                elif key.endswith("running_var"):
                    buffer.add_(torch.rand(buffer.shape))
    return net.eval()


def wrap(name: str) -> VAE:
    """Return the net of a name as a model."""
    odd = NETS[name]
    return VAE(
        build(name),
        latent_shape=odd.latent_shape,
        sample_shape=odd.sample_shape,
        data_range=odd.data_range,
    )
