"""Pictures of digits: moved aside, and which digit, how thick and where they show one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pxgen_plugins.datasets import load_mnist_lenet

__all__ = ["centre", "digit_probabilities", "moved", "stroke_width"]

_SIDE = 28


def stroke_width(images: Tensor) -> Tensor:
    """Return the mean width of the strokes of images (n, h, w) in [0, 1], in pixels, (n,).

    Twice the ink over the length of its edge: a stroke of width w and length l has ink w l and an
    edge of about 2 l. The length of the edge is taken from the sums of absolute differences
    between neighbours, across and down, as the root of the sum of their squares.
    """
    across = (images[:, :, 1:] - images[:, :, :-1]).abs().sum((1, 2))
    down = (images[:, 1:] - images[:, :-1]).abs().sum((1, 2))
    return 2 * images.sum((1, 2)) / (across.square() + down.square()).sqrt().clamp_min(1e-6)


def centre(images: Tensor) -> Tensor:
    """Return the centre of mass of images (n, h, w), (n, 2): row and column, pixels."""
    mass = images.sum((1, 2)).clamp_min(1e-6)
    rows, columns = (torch.arange(n, dtype=images.dtype) for n in images.shape[1:])
    return torch.stack([images.sum(2) @ rows / mass, images.sum(1) @ columns / mass], 1)


@torch.no_grad()
def digit_probabilities(images: Tensor, net: nn.Module | None = None) -> Tensor:
    """Return the probabilities of the ten digits by the shipped LeNet, (n, 10).

    It was trained on digits of 28 x 28 in the middle: smaller images are made larger, and moved by
    whole pixels.

    Args:
        images: In [0, 1], (n, h, w).
        net: Another classifier of images (n, 1, 28, 28).
    """
    net = load_mnist_lenet() if net is None else net
    large = functional.interpolate(images[:, None], size=_SIDE, mode="bilinear")
    shifts = ((_SIDE - 1) / 2 - centre(large[:, 0])).round().int().tolist()
    pairs = zip(large, shifts, strict=True)
    centred = torch.stack([one.roll((down, right), (1, 2)) for one, (down, right) in pairs])
    probabilities: Tensor = net(centred).softmax(1)
    return probabilities


def moved(images: Tensor, shift: Tensor) -> Tensor:
    """Return images (n, 28, 28) moved right by ``shift`` pixels, (n,), and halved, (n, 14, 14)."""
    source = torch.arange(_SIDE) - shift[:, None]
    inside = (source >= 0) & (source < _SIDE)
    columns = source.clamp(0, _SIDE - 1)[:, None].expand(-1, _SIDE, -1)
    whole = images.gather(2, columns) * inside[:, None]
    return functional.avg_pool2d(whole[:, None], 2)[:, 0]
