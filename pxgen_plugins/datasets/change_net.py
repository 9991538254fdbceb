"""A small network that tells what changes from one picture of a shape to another."""

from __future__ import annotations

import torch
from safetensors.torch import load
from torch import Tensor, nn

from pxgen_plugins.datasets.data_files import read
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.validation import integer

__all__ = ["CHANGES", "SIDE", "ChangeNet", "load_change_net"]

NAME = "toy_captioner.safetensors"
SIDE = 32  # pixels of the pictures that the network takes
CHANGES = ("none", "right", "left", "down", "up", "larger", "smaller", "turns", "shape")


class ChangeNet(nn.Module):
    """Convolutional network from two pictures of 32 x 32 pixels to the logits of nine changes.

    It sees both pictures twice: as they are, which tells where a shape went, and with their centres
    of mass in the middle, which tells how else it changed. Three convolutions 3 x 3 with stride 2
    to 16, 32 and 32 maps, a linear layer to 64 units and one to the nine :data:`CHANGES`, with ReLU
    between them: 47,897 parameters.

    Args:
        seed: Seed of the initial weights: uniform within one over the square root of the number of
            inputs, as torch initialises them. Global random state is not touched.

    Example:
        >>> ChangeNet()(torch.zeros(5, 2, 32, 32)).shape
        torch.Size([5, 9])
    """

    @caller("ChangeNet")
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(integer(seed, "seed", minimum=0))
        # on the meta device, because elsewhere constructors draw from torch's global generator
        with torch.device("meta"):
            self.body = nn.Sequential(
                nn.Conv2d(4, 16, 3, 2, 1),
                nn.ReLU(),
                nn.Conv2d(16, 32, 3, 2, 1),
                nn.ReLU(),
                nn.Conv2d(32, 32, 3, 2, 1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(512, 64),
                nn.ReLU(),
                nn.Linear(64, len(CHANGES)),
            )
        self.to_empty(device="cpu")
        with torch.no_grad():
            for layer in self.body:
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    bound = layer.weight[0].numel() ** -0.5
                    for weights in layer.parameters():
                        weights.uniform_(-bound, bound, generator=generator)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return the logits of the changes, (n, 9).

        Args:
            pairs: The picture before and the picture after, in [0, 1], (n, 2, 32, 32).
        """
        logits: Tensor = self.body(torch.cat([pairs, _centred(pairs)], 1))
        return logits


def _centred(pictures: Tensor) -> Tensor:
    """Return pictures (n, k, 32, 32), each moved by whole pixels so that its mass is central."""
    grid = torch.arange(SIDE, dtype=pictures.dtype)
    mass = pictures.sum((2, 3)).clamp_min(1e-6)
    for axis in (2, 3):
        profile = pictures.sum(5 - axis)  # over the other axis
        shift = ((profile * grid).sum(2) / mass - (SIDE - 1) / 2).round()
        index = ((grid + shift[..., None]) % SIDE).long()
        pictures = pictures.gather(axis, index.unsqueeze(5 - axis).expand_as(pictures))
    return pictures


@caller("load_change_net")
def load_change_net() -> ChangeNet:
    """Return the trained network behind ``ToyCaptioner``, in evaluation mode and on the CPU.

    It was trained on drawn shapes by ``examples/train_toy_captioner.py``; settings and accuracy
    are in the JSON card beside the weights.

    Raises:
        DataFileError: When the shipped file is damaged.

    Example:
        >>> load_change_net().training
        False
    """
    content, _ = read(NAME)
    net = ChangeNet()
    net.load_state_dict(load(content))
    return net.eval()
