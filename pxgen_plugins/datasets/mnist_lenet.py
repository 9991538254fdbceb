"""A small digit classifier whose features measure distances between sets of digits."""

from __future__ import annotations

import torch
from safetensors.torch import load
from torch import Tensor, nn

from pxgen_plugins.datasets.data_files import read
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.validation import integer

__all__ = ["MNISTLeNet", "load_mnist_lenet"]


class MNISTLeNet(nn.Module):
    """LeNet-5 (LeCun et al. 1998) with ReLU and maximum pooling, for digits of 28 x 28 pixels.

    Args:
        seed: Seed of the initial weights: uniform within one over the square root of the number of
            inputs, as torch initialises them. Global random state is not touched.

    Example:
        >>> net = MNISTLeNet()
        >>> net(torch.zeros(2, 1, 28, 28)).shape, net.features(torch.zeros(2, 1, 28, 28)).shape
        (torch.Size([2, 10]), torch.Size([2, 84]))
    """

    @caller("MNISTLeNet")
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(integer(seed, "seed", minimum=0))
        # on the meta device, because elsewhere constructors draw from torch's global generator
        with torch.device("meta"):
            self.body = nn.Sequential(
                nn.Conv2d(1, 6, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(6, 16, 5),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Linear(400, 120),
                nn.ReLU(),
                nn.Linear(120, 84),
                nn.ReLU(),
            )
            self.head = nn.Linear(84, 10)
        self.to_empty(device="cpu")
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
                    bound = layer.weight[0].numel() ** -0.5
                    layer.weight.uniform_(-bound, bound, generator=generator)
                    layer.bias.uniform_(-bound, bound, generator=generator)

    def features(self, x: Tensor) -> Tensor:
        """Return the activations before the last layer, (n, 84).

        Args:
            x: Images in [0, 1], shape (n, 1, 28, 28), (n, 28, 28) or (n, 784).
        """
        activations: Tensor = self.body(x.reshape(len(x), 1, 28, 28))
        return activations

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the ten digits, (n, 10), for images as :meth:`features` takes."""
        logits: Tensor = self.head(self.features(x))
        return logits


@caller("load_mnist_lenet")
def load_mnist_lenet() -> MNISTLeNet:
    """Return a trained :class:`MNISTLeNet`, in evaluation mode and on the CPU.

    It was trained by ``examples/train_mnist_lenet.py``; settings and accuracy are in the JSON card
    beside the weights.

    Raises:
        DataFileError: When the shipped file is damaged.

    Example:
        >>> load_mnist_lenet().training
        False
    """
    content, _ = read("mnist_lenet.safetensors")
    net = MNISTLeNet()
    net.load_state_dict(load(content))
    return net.eval()
