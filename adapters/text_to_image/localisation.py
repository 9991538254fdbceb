"""Which cross-attention layers carry a concept: windows of them are given another prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.text_to_image.base import Localisation, conclusions
from pxgen_plugins.adapters.text_to_image.cross_attention import (
    cross_attention,
    states_of,
    swap_text,
)
from pxgen_plugins.adapters.text_to_image.prompts import Pair, concept_text, pair_of, replaced
from pxgen_plugins.adapters.text_to_image.scores import scorer_label
from pxgen_plugins.models.base import passes
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr, warn
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["CrossAttentionLocalisation"]

Floats = NDArray[np.float64]
_RANDOM = "random states at the same distance"
_SAME = 1e-3  # of the change, by which all layers may miss the other prompt


@register("cross_attention_localisation")
@dataclass(repr=False, eq=False)
class CrossAttentionLocalisation(Localisation):
    """Which cross-attention layers carry a concept, by what changes when they read another prompt.

    LocoGen (Basu et al. 2024): for every window of consecutive layers, in the order in which they
    run, keys and values are made of another prompt's states, at all steps and under guidance in the
    conditional half only; all other layers keep the prompt. The window whose pictures change their
    score as they do under the other prompt carries what the two prompts differ in. Both are made
    from the same noise, so that effects are paired over seeds. Beside them stands a control: the
    same windows are given a change of the prompt that the score should not care about.

    Args:
        predictor: A model with ``prompt`` and ``cross_attention``.
        concept: Words of the prompts, as ``"thick"``, or a whole prompt.
        target: What is put in their place, as ``"thin"``; "" leaves them out.
        scorer: How much of the concept a picture shows: a callable from pictures
            (n, *sample_shape) to (n,), as ``lambda x: net(x).softmax(1)[:, 7]``, or a criterion, by
            name or object, of the model under the prompt.
        prompts: Prompts that hold the concept; None takes the concept itself.
        control: Two words, or prompts, that differ in something else: where the first is part of a
            prompt, it is replaced by the second there, else both are prompts. None moves every
            token's state in a random direction, as far as the target does.
        window: Consecutive layers changed together, >= 1.
        n_seeds: Pictures of every prompt, >= 2.
        guidance: Strength of guidance; None takes the model's.
        n_shown: Pictures kept, >= 0.
        seed: Seed of the noise, and of the random control.
        batch_size: Rows per call of the network; a guided picture is two.
        verbose: Show a progress bar on stderr.

    Fields:
        kind (str): ``"cross-attention"``.
        layers (list of str): Names of the L layers, first run first.
        places (list of list): For each of k windows the names of its layers.
        window (int): Layers in a place.
        prompts (list of str): p prompts with the concept.
        others (list of str): p prompts in their place.
        scorer (str): Its label.
        guidance (float): As given; None for the model's own.
        baseline (float64 (n,)): Score of the pictures under the prompt, of each of n seeds the mean
            over prompts.
        whole (float): Mean change of the score under the other prompt.
        whole_interval (float64 (2,)): Its 95% interval over seeds (Student).
        effect (float64 (k,)): Mean change of the score when the layers of each window read the
            other prompt, in units of the score. Positive = the score rises.
        effect_interval (float64 (k, 2)): 95% intervals over seeds, each of one place alone.
        share (float64 (k,)): Effect as a share of ``whole``: 1 = all of it, below 0 = the other
            way. NaN where the interval of ``whole`` holds 0.
        share_interval (float64 (k, 2)): 95% intervals over seeds, paired; NaN likewise.
        control (str): What the control puts there, in words.
        control_effect (float64 (k,)): What that does in the same places.
        control_share (float64 (k,)): The same as a share of ``whole``; NaN likewise.
        control_share_interval (float64 (k, 2)): 95% intervals over seeds; NaN likewise.
        strongest (int): Position of the largest share; None where shares are NaN.
        images (float32 (a, s, *sample_shape)): Of the first prompt and a seeds: the picture under
            the prompt, with the strongest place changed (left out where shares are NaN), and under
            the other prompt.
        n_seeds (int): n, the seeds.

    Raises:
        ParameterError: When an argument is not allowed, or a prompt does not hold the concept.
        CapabilityError: When the model takes no prompt.
        ModelError: When the network has no cross-attention, or text enters it elsewhere as well.

    ``explain(prompts)`` takes prompts instead of those of the constructor; ``explain(None)`` and
    anchors, which are pictures, leave these.

    Cost: (2 (L - window + 1) + 3) n_seeds pictures for each prompt, of L layers.

    Example:
        >>> from pxgen_plugins.datasets import load_mnist_text
        >>> from pxgen_plugins.models import from_diffusers
        >>> model = from_diffusers(load_mnist_text(), guidance=1.0, steps=2)
        >>> def ink(x): return x.mean((1, 2, 3))
        >>> found = CrossAttentionLocalisation(
        ...     model, "thick", "thin", ink, prompts=["a thick seven"], window=3).explain(None)
        >>> found.others, len(found.layers), found.places[found.strongest][-1] == found.layers[-1]
        (['a thin seven'], 6, True)
    """

    target: Any
    scorer: Any
    _: KW_ONLY
    control: Any = None
    window: int = 2

    def _check(self) -> None:
        super()._check()
        self.target = concept_text(self.target, "target", empty=True)
        self.window = validation.integer(self.window, "window", minimum=1)
        if self.control is not None:
            pair = list(self.control) if isinstance(self.control, (list, tuple)) else []
            if len(pair) != 2:
                hint = "Pass two, as in control=('left', 'right')."
                raise ParameterError("control", "a pair", short_repr(self.control), hint)
            self.control = [concept_text(one, "control", empty=True) for one in pair]
        for prompt in self._prompts(None):
            pair_of(prompt, self.concept, self.target)

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model, for a UNet of 16 cross-attentions."""
        pictures = 35.0 * self.n_seeds * len(self._prompts(None))
        ratio = passes(self.predictor, "sample") / passes(self.predictor, "decode")
        return {"decode": pictures * ratio}

    def _explain(self, X: Any) -> dict[str, Any]:
        prompts = self._prompts(X)
        pairs = [pair_of(prompt, self.concept, self.target) for prompt in prompts]
        layers = cross_attention(self.predictor, prompts[0])
        names = list(layers)
        if self.window > len(names):
            allowed = f"at most the {len(names)} cross-attention layers"
            raise ParameterError("window", allowed, str(self.window), "Take fewer.")
        places = [names[i : i + self.window] for i in range(len(names) - self.window + 1)]
        runs = [_Run(self, layers, places, pair) for pair in pairs]
        with bar(len(runs) * (2 * len(places) + 3), "windows", "run", self.verbose) as progress:
            tables = [run.measure(progress.update) for run in runs]
        mean = {key: np.mean([table[key] for table in tables], axis=0) for key in tables[0]}
        found = conclusions(
            places, mean["changes"], mean["whole"], mean["control"], type(self).__name__
        )
        words = _RANDOM if self.control is None else " -> ".join(map(repr, self.control))
        return {
            "kind": "cross-attention",
            "layers": names,
            "prompts": [prompt for prompt, _ in pairs],
            "others": [other for _, other in pairs],
            "scorer": scorer_label(self.scorer),
            "guidance": self.guidance,
            "baseline": mean["baseline"],
            "control": words,
            "images": runs[0].images(found["strongest"]),
            **found,
        }


class _Run:
    """One prompt, the one in its place, and their pictures.

    Args:
        adapter: Whose arguments count.
        layers: Cross-attention layers by name.
        places: Windows, names of layers each.
        pair: The two prompts.
    """

    def __init__(
        self,
        adapter: CrossAttentionLocalisation,
        layers: Mapping[str, Any],
        places: list[list[str]],
        pair: Pair,
    ) -> None:
        self.adapter, self.layers, self.places = adapter, layers, places
        self.prompt, self.other = pair
        model = adapter.predictor
        empty = states_of(model, model.empty_prompt)
        self.base, self.target = (states_of(model, one) for one in pair)
        for prompt, states in ((self.prompt, self.base), (self.other, self.target)):
            # the half of a guided step without prompt would be taken for the prompt
            if prompt == self.prompt and bool((states == empty).all()):
                hint = "Give a prompt with words that the model knows."
                raise ParameterError("concept", "a prompt", short_repr(prompt), hint)
        if bool((self.base == self.target).all()):
            hint = "Give words that the text encoder tells apart."
            got = f"{short_repr(self.prompt)} and {short_repr(self.other)} with the same states"
            raise ParameterError("target", "another prompt for the model", got, hint)

    def measure(self, update: Any) -> dict[str, Floats]:
        """Return the baseline (n,), and changes by windows, the whole and the control."""
        adapter = self.adapter
        score = adapter._scorer(adapter.scorer, self.prompt)
        self.before, self.after = (adapter._pictures(one) for one in (self.prompt, self.other))
        baseline, whole = score(self.before), score(self.after)
        everywhere = self._swapped(list(self.layers), self.base, self.target, self.prompt)
        self._expect_all_text(everywhere)
        update(3)
        changes = []
        for place in self.places:
            x = self._swapped(place, self.base, self.target, self.prompt)
            changes.append(score(x) - baseline)
            update(1)
        prompt, base, other = self._control()
        start = baseline if prompt == self.prompt else score(adapter._pictures(prompt))
        control = []
        for place in self.places:
            control.append(score(self._swapped(place, base, other, prompt)) - start)
            update(1)
        return {
            "baseline": baseline,
            "whole": whole - baseline,
            "changes": np.stack(changes),
            "control": np.stack(control),
        }

    def images(self, strongest: int | None) -> NDArray[np.float32]:
        """Return pictures before, with the strongest window changed, and of the other prompt."""
        shown = [self.before, self.after]
        if strongest is not None:
            place = self.places[strongest]
            shown.insert(1, self._swapped(place, self.base, self.target, self.prompt))
        n = self.adapter.n_shown
        rows = torch.stack([x[:n].float().cpu() for x in shown], dim=1)
        return np.asarray(rows.numpy(), dtype=np.float32)

    def _swapped(self, names: list[str], base: Tensor, other: Tensor, prompt: str) -> Tensor:
        with swap_text({name: self.layers[name] for name in names}, base, other):
            return self.adapter._pictures(prompt)

    def _control(self) -> tuple[str, Tensor, Tensor]:
        """Return the control's prompt, its states, and those put in their place."""
        adapter, model = self.adapter, self.adapter.predictor
        if adapter.control is None:
            way = (self.target - self.base).float()
            noise = normal_rows(0, 1, tuple(way.shape), derive(adapter.seed, "control"))[0]
            noise = noise.to(way) * (way.norm(dim=-1) / noise.to(way).norm(dim=-1))[:, None]
            return self.prompt, self.base, self.base + noise.to(self.base)
        words, others = adapter.control
        inside = replaced(self.prompt, words, others) if words else None
        prompt, other = (words, others) if inside is None else (self.prompt, inside)
        return prompt, states_of(model, prompt), states_of(model, other)

    def _expect_all_text(self, everywhere: Tensor) -> None:
        """Raise unless all layers together are the other prompt: text may enter elsewhere."""
        apart = float((self.after - self.before).abs().max())
        gap = float((everywhere - self.after).abs().max())
        if gap > _SAME * apart:
            hint = "Its layers cannot be judged by windows of them."
            got = f"pictures {gap:.2g} from those of the other prompt, which are {apart:.2g} away"
            allowed = "one that text enters by its cross-attention alone"
            raise ModelError("network", allowed, got, hint)
        if apart == 0.0:
            warn(f"{type(self.adapter).__name__}: both prompts give the same pictures.")
