"""Where in a picture each word of its prompt is looked at, and whether the word acts there."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pxgen_plugins.adapters.base import Adapter, register
from pxgen_plugins.adapters.text_to_image.cross_attention import (
    choose_layers,
    cross_attention,
    rows_of,
    states_of,
    swap_text,
    text_of,
)
from pxgen_plugins.adapters.text_to_image.pictures import batch_of_pictures, batches, pictures
from pxgen_plugins.adapters.text_to_image.prompts import concept_text, prompts_of, texts
from pxgen_plugins.adapters.units.change import half_width
from pxgen_plugins.models.base import passes
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_CROSS_ATTENTION_MAPS", "CrossAttentionMaps"]

Floats = NDArray[np.float64]
_FLAT = 1e-6  # length of what is the same everywhere, but for rounding

DEFAULT_DATA_CROSS_ATTENTION_MAPS: dict[str, Any] = {
    "prompt": None,
    "words": [],
    "layers": [],
    "guidance": None,
    "attributions": None,
    "changes": None,
    "attention": None,
    "agreement": None,
    "agreement_interval": None,
    "control_agreement": None,
    "control_agreement_interval": None,
    "images": None,
    "n_seeds": None,
}
"""Default data of CrossAttentionMaps, to be deep-copied; its docstring has the keys."""


@register("cross_attention_maps")
@dataclass(repr=False, eq=False)
class CrossAttentionMaps(Adapter):
    """Where in its pictures each word of a prompt is looked at.

    As in DAAM (Tang et al. 2023): attention of the picture's places to the word's tokens, scaled up
    to the picture and averaged over heads, steps and layers. Attention is not yet effect: so every
    map is compared with what changes when the network reads the prompt without the word, beside the
    maps of all other tokens, which are the control.

    Args:
        predictor: A model with ``prompt`` and ``cross_attention``.
        prompt: The prompt.
        words: Words of it, each a text; None takes every word.
        layers: Names of cross-attention layers; None takes all.
        n_seeds: Pictures, >= 2.
        guidance: Strength of guidance; None takes the model's.
        seed: Seed of the noise.
        batch_size: Rows per call of the network; a guided picture is two.
        verbose: Show a progress bar on stderr.

    Fields:
        prompt (str): The prompt.
        words (list of str): The w words.
        layers (list of str): Names of the layers, first run first.
        guidance (float): As given; None for the model's own.
        attributions (float32 (w n, height, width)): For each word in turn, on each of n pictures:
            share of attention, in [0, 1], that the word's tokens get at each place, mean over
            heads, steps and layers.
        changes (float32 (w n, height, width)): Mean absolute change of the picture over channels,
            in units of the data, when the word's tokens are given the states that they have in the
            empty prompt.
        attention (float64 (w,)): Mean of each word's maps.
        agreement (float64 (w,)): Correlation of map and change over places, in [-1, 1], mean over
            pictures. Higher = what is looked at is what the word changes. A map that is the same
            everywhere counts as 0; NaN where the change is the same everywhere.
        agreement_interval (float64 (w, 2)): Its 95% interval over pictures (Student); NaN likewise.
        control_agreement (float64 (w,)): The same with the map of each other token, mean over
            these; NaN likewise.
        control_agreement_interval (float64 (w, 2)): Its 95% interval; NaN likewise.
        images (float32 (n, *sample_shape)): The pictures.
        n_seeds (int): n, the pictures.

    Raises:
        ParameterError: When an argument is not allowed, or a word is not in the prompt.
        CapabilityError: When the model takes no prompt or makes no pictures.
        ModelError: When the layers are not the attention of diffusers in structure.

    ``explain(prompt)`` takes another prompt; ``explain(None)`` and anchors leave the constructor's.

    Cost: (1 + w) n_seeds pictures for w words, and one.
    """

    evidence = "attribution"
    access = "activations"
    learns_from: ClassVar[str] = ""
    requires = frozenset({"sample", "prompt", "cross_attention"})
    scope: ClassVar[list[str]] = ["global"]
    defaults: ClassVar[Mapping[str, Any]] = DEFAULT_DATA_CROSS_ATTENTION_MAPS

    prompt: Any
    _: KW_ONLY
    words: Any = None
    layers: Any = None
    n_seeds: int = 4
    guidance: float | None = None

    def _check(self) -> None:
        super()._check()
        self.prompt = concept_text(self.prompt, "prompt")
        for name in ("words", "layers"):
            if getattr(self, name) is not None:
                setattr(self, name, texts(getattr(self, name), name))
        self.n_seeds = validation.integer(self.n_seeds, "n_seeds", minimum=2)
        if self.guidance is not None:
            self.guidance = validation.real(self.guidance, "guidance", minimum=0.0)

    def _check_model(self, model: Any) -> None:
        if len(model.sample_shape or ()) not in (2, 3):
            hint = "Maps are drawn on pictures."
            got = f"sample_shape {model.sample_shape}"
            raise ParameterError("predictor", "a model of pictures", got, hint)

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model."""
        words = len(self.prompt.split()) if self.words is None else len(self.words)
        ratio = passes(self.predictor, "sample") / passes(self.predictor, "decode")
        return {"decode": (1.0 + (1 + words) * self.n_seeds) * ratio}

    def _explain(self, X: Any) -> dict[str, Any]:
        model = self.predictor
        prompts = prompts_of(X, [self.prompt])
        if len(prompts) > 1:
            hint = "Explain them one after the other."
            raise ParameterError("X", "one prompt", f"{len(prompts)} prompts", hint)
        prompt = prompts[0]
        words = prompt.split() if self.words is None else self.words
        places = [self._positions(prompt, word) for word in words]
        everywhere = cross_attention(model, prompt)
        layers = choose_layers(everywhere, self.layers)
        base, empty = states_of(model, prompt), states_of(model, model.empty_prompt)
        with bar(1 + len(words), "words", "run", self.verbose) as progress:
            parts = [
                self._batch(layers, base, prompt, rows) for rows in batches(self, self.n_seeds)
            ]
            x, maps = (torch.cat(several) for several in zip(*parts, strict=True))
            progress.update(1)
            changes = []
            for tokens in places:
                without = base.clone()
                without[tokens] = empty[tokens]
                with swap_text(everywhere, base, without):
                    moved = (pictures(self, prompt, self.n_seeds) - x).abs()
                plane = moved if moved.ndim == 3 else moved.mean(1)
                changes.append(plane.double().cpu().numpy())
                progress.update(1)
        table = maps.double().cpu().numpy()  # (n, n_tokens, height, width)
        own = [table[:, place].sum(1) for place in places]
        others = [np.delete(table, place, axis=1) for place in places]
        agreement = np.array([_alike(m, c) for m, c in zip(own, changes, strict=True)])
        control = np.array(
            [
                np.mean([_alike(o[:, t], c) for t in range(o.shape[1])], axis=0)
                for o, c in zip(others, changes, strict=True)
            ]
        ).reshape(agreement.shape)
        return {
            "prompt": prompt,
            "words": list(words),
            "layers": list(layers),
            "guidance": self.guidance,
            "attributions": np.concatenate(own).astype(np.float32),
            "changes": np.concatenate(changes).astype(np.float32),
            "attention": np.array([m.mean() for m in own]),
            "agreement": agreement.mean(1),
            "agreement_interval": _interval(agreement),
            "control_agreement": control.mean(1),
            "control_agreement_interval": _interval(control),
            "images": x.float().cpu().numpy(),
            "n_seeds": self.n_seeds,
        }

    def _batch(
        self, layers: Mapping[str, nn.Module], base: Tensor, prompt: str, rows: slice
    ) -> tuple[Tensor, Tensor]:
        """Return some pictures, and their attention to each token, (n, n_tokens, height, width)."""
        with _attention(layers, base) as sums:
            x = batch_of_pictures(self, prompt, rows)
        size = tuple(x.shape[-2:])
        return x, torch.stack([_on_picture(*one, size) for one in sums.values()]).mean(0)

    def _positions(self, prompt: str, word: str) -> list[int]:
        tokens = list(self.predictor.token_positions(prompt, word))
        if not tokens:
            hint = "Name words as they stand in the prompt."
            raise ParameterError("words", f"in {short_repr(prompt)}", short_repr(word), hint)
        return tokens


@contextmanager
def _attention(
    layers: Mapping[str, nn.Module], base: Tensor
) -> Iterator[dict[str, tuple[Tensor, int]]]:
    """Yield, by layer, the sum over calls of the attention to each token, and their number.

    Computed of the queries and keys that the layers compute: attention as it runs keeps no table.
    Sums are (n, places, n_tokens), means over heads; rows of other prompts do not count.
    """
    own = threading.get_ident()
    sums: dict[str, tuple[Tensor, int]] = {}

    def of(name: str, layer: Any) -> list[Any]:
        rows: list[Tensor] = []
        parts: dict[str, Tensor] = {}

        def look(_module: nn.Module, args: Any, kwargs: Any) -> None:
            text = text_of(args, kwargs) if threading.get_ident() == own else None
            if text is not None:
                rows[:] = [rows_of(text, base)]
                parts.clear()
                if kwargs.get("attention_mask") is not None:
                    hint = "Maps are not yet made for prompts with masked tokens."
                    raise ModelError("attention", "without a mask", "one", hint, where=name)

        def keep(part: str) -> Any:
            def call(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
                if threading.get_ident() == own and rows:
                    parts[part] = output.detach()[rows[0]]

            return call

        def add(_module: nn.Module, _inputs: Any, _output: Any) -> None:
            if threading.get_ident() != own or not rows or not bool(rows[0].any()):
                return
            if set(parts) != {"q", "k"}:
                hint = "Undo fuse_qkv_projections(), say."
                raise ModelError("layer", "one that calls to_q and to_k", "another", hint,
                                 where=name)  # fmt: skip
            table = _probabilities(layer, parts["q"], parts["k"])
            total, count = sums.get(name, (torch.zeros_like(table), 0))
            if total.shape != table.shape:
                hint = "Take fewer seeds."
                raise ModelError("pictures", "made in one batch", "several", hint, where=name)
            sums[name] = total + table, count + 1

        return [
            layer.register_forward_pre_hook(look, with_kwargs=True),
            layer.to_q.register_forward_hook(keep("q")),
            layer.to_k.register_forward_hook(keep("k")),
            layer.register_forward_hook(add),
        ]

    with ExitStack() as stack:
        for name, layer in layers.items():
            for handle in of(name, layer):
                stack.callback(handle.remove)
        yield sums


def _probabilities(layer: Any, q: Tensor, k: Tensor) -> Tensor:
    """Return the attention of places to tokens, (n, places, n_tokens), the mean over heads."""

    def heads(x: Tensor, norm: Any) -> Tensor:
        x = x.reshape(*x.shape[:2], layer.heads, -1).transpose(1, 2)
        return x if norm is None else norm(x)

    q = heads(q, getattr(layer, "norm_q", None))
    k = heads(k, getattr(layer, "norm_k", None))
    scores = q.float() @ k.float().transpose(-1, -2) * float(layer.scale)
    table: Tensor = scores.softmax(-1).mean(1)
    return table


def _on_picture(total: Tensor, count: int, size: tuple[int, ...]) -> Tensor:
    """Return a layer's mean attention at the picture's size, (n, n_tokens, height, width)."""
    n, places, n_tokens = total.shape
    height = round((places * size[0] / size[1]) ** 0.5)
    if height < 1 or places % height:
        hint = "Name layers that look at the whole picture."
        raise ModelError(
            "layer", f"one with a grid of the picture, {size}", f"{places} places", hint
        )
    grid = (total / count).transpose(1, 2).reshape(n, n_tokens, height, places // height)
    return F.interpolate(grid, size=size, mode="bilinear", align_corners=False)


def _alike(maps: Floats, changes: Floats) -> Floats:
    """Return the correlation over places of n maps with n changes, (n,).

    0 for a map that is the same everywhere, which points nowhere; NaN for such a change.
    """
    one, other = (x.reshape(len(x), -1) for x in (maps, changes))
    one, other = (x - x.mean(axis=1, keepdims=True) for x in (one, other))
    sizes = [np.sqrt((x**2).sum(axis=1)) for x in (one, other)]
    sizes[0] = np.where(sizes[0] > _FLAT, sizes[0], np.inf)
    sizes[1] = np.where(sizes[1] > _FLAT, sizes[1], np.nan)
    return np.asarray((one * other).sum(axis=1) / (sizes[0] * sizes[1]))


def _interval(values: Floats) -> Floats:
    """Return the interval of each row's mean, (w, 2)."""
    mean, reach = values.mean(axis=1), np.array([half_width(row) for row in values])
    return np.stack([mean - reach, mean + reach], axis=1)
