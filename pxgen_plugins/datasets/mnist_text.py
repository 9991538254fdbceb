"""A small text-to-image model of MNIST, with trained weights: "a thin seven left"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from safetensors.torch import load
from torch import Tensor, nn

from pxgen_plugins.datasets.data_files import read
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.validation import integer

__all__ = ["MNISTText", "MNISTWords", "load_mnist_text", "mnist_text_parts"]

NAME = "mnist_text.safetensors"
SIDE = 14
WIDTH = 32
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# the first begins every prompt, the second fills prompts up
WORDS = ("<begin>", "<fill>", "a", "thin", "thick", *DIGITS, "digit", "left", "right")
N_TOKENS = 5  # the beginning, and "a thin seven left"


class MNISTWords(nn.Module):
    """Prompts of known words to their states: one learned vector per word, no more.

    Args:
        seed: Seed of the initial vectors, N(0, I). Global random state is not touched.

    Example:
        >>> MNISTWords()(["a thin seven left", ""]).shape
        torch.Size([2, 5, 32])
    """

    @caller("MNISTWords")
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(integer(seed, "seed", minimum=0))
        vectors = torch.randn(len(WORDS), WIDTH, generator=generator)
        self.table = nn.Embedding(len(WORDS), WIDTH, _weight=vectors)

    def ids(self, prompts: Sequence[str]) -> Tensor:
        """Return the numbers of the words, int64 (n, 5).

        Raises:
            ParameterError: When a prompt has a word that is not in ``WORDS``, or over four.
        """
        rows = []
        for prompt in prompts:
            row = [self._id(word, prompt) for word in prompt.lower().split()]
            if len(row) >= N_TOKENS:
                hint = "A prompt says what 'a thin seven left' says, or less."
                raise ParameterError("prompt", "at most four words", short_repr(prompt), hint)
            rows.append([0, *row, *[1] * (N_TOKENS - 1 - len(row))])
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, N_TOKENS)

    @staticmethod
    def _id(word: str, prompt: str) -> int:
        if word not in WORDS[2:]:
            allowed = "words of " + ", ".join(WORDS[2:])
            hint = "The model knows no others."
            raise ParameterError("prompt", allowed, short_repr(prompt), hint)
        return WORDS.index(word)

    def offsets(self, prompt: str) -> list[tuple[int, int]]:
        """Return the places (start, end) of the 5 tokens in a prompt; (0, 0) for no word.

        Example:
            >>> MNISTWords().offsets("a seven")
            [(0, 0), (0, 1), (2, 7), (0, 0), (0, 0)]
        """
        words = [found.span() for found in re.finditer(r"\S+", prompt)]
        return [(0, 0), *words, *[(0, 0)] * (N_TOKENS - 1 - len(words))]

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """Return the states of the prompts, (n, 5, 32)."""
        states: Tensor = self.table(self.ids(prompts).to(self.table.weight.device))
        return states


class MNISTText(NamedTuple):
    """The parts of the model, as :func:`~pxgen_plugins.models.from_diffusers` takes them.

    Attributes:
        network: A ``UNet2DConditionModel``: images 1 x 14 x 14 in [-1, 1], two levels of 16 and 32
            maps, and on the lower one, of 7 x 7, six layers of cross-attention with two heads each.
        scheduler: A ``DDIMScheduler``: a cosine schedule of 1,000 timesteps; the network predicts
            v.
        words: From prompts to states.
    """

    network: Any
    scheduler: Any
    words: MNISTWords


def mnist_text_parts() -> MNISTText:
    """Return the parts of the model; the network has no weights yet (it is on the meta device).

    Raises:
        MissingDependencyError: When diffusers is not installed.
    """
    diffusers = optional.load("diffusers", "diffusers")
    with torch.device("meta"):  # elsewhere constructors draw from torch's global generator
        network = diffusers.UNet2DConditionModel(
            sample_size=SIDE,
            in_channels=1,
            out_channels=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(16, 32),
            layers_per_block=(1, 2),
            cross_attention_dim=WIDTH,
            attention_head_dim=2,  # diffusers takes it as the number of heads
            norm_num_groups=8,
        )
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )
    return MNISTText(network, scheduler, MNISTWords())


@caller("load_mnist_text")
def load_mnist_text() -> MNISTText:
    """Return the trained parts of a text-to-image model, in evaluation mode and on the CPU.

    Prompts are ``"a thin seven left"`` and the like: thin or thick, the digit's name or "digit",
    left or right; any of them may be left out. It was trained by ``examples/train_mnist_text.py``
    on the 60,000 training images, made smaller and moved aside; settings and accuracy are in the
    JSON card beside the weights.

    Raises:
        DataFileError: When the shipped file is damaged.
        MissingDependencyError: When diffusers is not installed.

    Example:
        >>> from pxgen_plugins.models import from_diffusers
        >>> model = from_diffusers(load_mnist_text(), guidance=2.0, steps=5)
        >>> model.sample(2, seed=0, prompt="a thin seven left").shape
        torch.Size([2, 1, 14, 14])
    """
    parts = mnist_text_parts()
    content, _ = read(NAME)
    weights = {name: tensor.float() for name, tensor in load(content).items()}
    for role in ("network", "words"):
        own, net = f"{role}.", getattr(parts, role)
        of_role = {k[len(own) :]: w for k, w in weights.items() if k.startswith(own)}
        net.load_state_dict(of_role, assign=True)
        net.eval()
    return parts
