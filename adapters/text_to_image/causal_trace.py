"""Which layers carry a concept from its words to the picture: clean outputs in a noisy run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.text_to_image._text_encoder import TextEncoder, text_encoder
from pxgen_plugins.adapters.text_to_image.base import Localisation, conclusions
from pxgen_plugins.adapters.text_to_image.cross_attention import (
    cross_attention,
    rows_of,
    states_of,
    swap_text,
    text_of,
)
from pxgen_plugins.adapters.text_to_image.pictures import batch_of_pictures, batches
from pxgen_plugins.adapters.text_to_image.prompts import concept_text
from pxgen_plugins.adapters.text_to_image.scores import Scorer, scorer_label
from pxgen_plugins.models.base import passes
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["CausalTrace"]

Floats = NDArray[np.float64]
SITES = ("text", "unet")
TOKENS = ("last", "concept")


@register("causal_trace")
@dataclass(repr=False, eq=False)
class CausalTrace(Localisation):
    """Which layers carry a concept, by what comes back when their clean output is put back.

    Causal tracing (Meng et al. 2022; of text-to-image models Basu et al. 2024): the concept's
    tokens are disturbed by noise on their embeddings, another one for every seed. Then, for one
    layer after the other, what it returned without noise is put back. A layer carries the concept
    if the score comes back with it. The control puts back, in the same place, what the layer
    returns for another prompt: an undisturbed output that is not the concept's.

    Args:
        predictor: A model with ``prompt`` and ``cross_attention``, whose text encoder is a torch
            module.
        concept: Words of the prompts, or a whole prompt.
        scorer: How much of the concept a picture shows (see
            :class:`~pxgen_plugins.adapters.text_to_image.localisation.CrossAttentionLocalisation`).
        prompts: Prompts that hold the concept; None takes the concept itself.
        sites: ``"text"``: layers of the text encoder, at the concept's tokens; ``"unet"``: the
            cross-attention layers of the network, at all steps.
        tokens: Of the text encoder's layers, what is put back: ``"last"``, the last token of the
            concept, or ``"concept"``, all of them.
        noise: Standard deviation of the noise, in those of the token embeddings' elements, > 0.
        control: The prompt of the control; None takes the empty one.
        n_seeds: Pictures of every prompt, each with noise of its own, >= 2.
        guidance: Strength of guidance; None takes the model's.
        n_shown: Pictures kept, >= 0.
        seed: Seed of all noise.
        batch_size: Rows per call of the network; a guided picture is two.
        verbose: Show a progress bar on stderr.

    Fields:
        kind (str): ``"text"``, layers of the text encoder, or ``"unet"``, cross-attention layers of
            the network.
        layers (list of str): Names of the L layers, first run first.
        places (list of list): For each of k layers a list of its name alone.
        window (int): Layers in a place.
        prompts (list of str): p prompts with the concept.
        others (list of str): Empty: no prompt takes their place.
        scorer (str): Its label.
        guidance (float): As given; None for the model's own.
        baseline (float64 (n,)): Score of the pictures with noise on the concept, of each of n seeds
            the mean over prompts.
        whole (float): Mean change of the score when there is no noise on the concept any more.
        whole_interval (float64 (2,)): Its 95% interval over seeds (Student).
        effect (float64 (k,)): Mean change of the score when the clean output of each layer is put
            back, in units of the score. Positive = the score rises.
        effect_interval (float64 (k, 2)): 95% intervals over seeds, each of one place alone.
        share (float64 (k,)): Effect as a share of ``whole``: 1 = all of it, below 0 = the other
            way. NaN where the interval of ``whole`` holds 0.
        share_interval (float64 (k, 2)): 95% intervals over seeds, paired; NaN likewise.
        control (str): What the control puts back, in words.
        control_effect (float64 (k,)): What that does in the same places.
        control_share (float64 (k,)): The same as a share of ``whole``; NaN likewise.
        control_share_interval (float64 (k, 2)): 95% intervals over seeds; NaN likewise.
        strongest (int): Position of the largest share; None where shares are NaN.
        images (float32 (a, s, *sample_shape)): Of the first prompt and a seeds: the picture with
            noise on the concept, with the strongest place changed (left out where shares are NaN),
            and without the noise.
        n_seeds (int): n, the seeds.

    Raises:
        ParameterError: When an argument is not allowed, or a prompt does not hold the concept.
        CapabilityError: When the model takes no prompt.
        ModelError: When its text encoder cannot be seen.

    Cost: (2 L + 2) n_seeds pictures for each prompt, of L layers, and twice as many of the network.
    """

    scorer: Any
    _: KW_ONLY
    sites: str = "text"
    tokens: str = "last"
    noise: float = 3.0
    control: str | None = None

    def _check(self) -> None:
        super()._check()
        self.sites = validation.choice(self.sites, "sites", SITES)
        self.tokens = validation.choice(self.tokens, "tokens", TOKENS)
        self.noise = validation.real(self.noise, "noise", above=0.0)
        if self.control is not None:
            self.control = concept_text(self.control, "control", empty=True)

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model, for an encoder of 12 blocks."""
        pictures = 74.0 * self.n_seeds * len(self._prompts(None))
        ratio = passes(self.predictor, "sample") / passes(self.predictor, "decode")
        return {"decode": pictures * ratio}

    def _explain(self, X: Any) -> dict[str, Any]:
        prompts = self._prompts(X)
        encoder = text_encoder(self.predictor, prompts[0])
        layers = cross_attention(self.predictor, prompts[0])
        names = list(layers if self.sites == "unet" else encoder.layers)
        if not names:
            hint = "Use sites='unet'."
            raise ParameterError("sites", "of an encoder with blocks", repr(self.sites), hint)
        runs = [_Trace(self, encoder, layers, prompt) for prompt in prompts]
        with bar(len(runs) * len(names), "layers", "layer", self.verbose) as progress:
            tables = [run.measure(names, progress.update) for run in runs]
        mean = {key: np.mean([table[key] for table in tables], axis=0) for key in tables[0]}
        found = conclusions(
            [[name] for name in names],
            mean["changes"],
            mean["whole"],
            mean["control"],
            type(self).__name__,
        )
        strongest = found["strongest"]
        return {
            "kind": self.sites,
            "layers": names,
            "prompts": prompts,
            "scorer": scorer_label(self.scorer),
            "guidance": self.guidance,
            "baseline": mean["baseline"],
            "control": f"outputs for {runs[0].control!r}",
            "images": runs[0].images(None if strongest is None else names[strongest]),
            **found,
        }


class _Trace:
    """The pictures of one prompt with noise on the concept, with something put back, and clean."""

    def __init__(
        self, adapter: CausalTrace, encoder: TextEncoder, layers: Mapping[str, Any], prompt: str
    ) -> None:
        model = adapter.predictor
        self.adapter, self.encoder, self.layers, self.prompt = adapter, encoder, layers, prompt
        self.positions = list(model.token_positions(prompt, adapter.concept))
        if not self.positions:
            hint = "Give prompts that hold it."
            got = short_repr(adapter.concept)
            raise ParameterError("concept", f"in {short_repr(prompt)}", got, hint)
        self.control = model.empty_prompt if adapter.control is None else adapter.control
        n, width = adapter.n_seeds, encoder.embedding.embedding_dim
        seed = derive(adapter.seed, "noise")
        noise = normal_rows(0, n, (len(self.positions), width), seed)
        self.noise = noise * adapter.noise * encoder.spread
        self.base = states_of(model, prompt)
        self.before = torch.cat(
            [self._pictures(self._corrupted(rows), rows) for rows in batches(adapter, n)]
        )
        self.clean = adapter._pictures(prompt)

    def measure(self, names: list[str], update: Any) -> dict[str, Floats]:
        """Return the score with noise (n,), and what comes back by layers, all and the control."""
        score: Scorer = self.adapter._scorer(self.adapter.scorer, self.prompt)
        baseline = score(self.before)
        tables: dict[str, list[Floats]] = {"changes": [], "control": []}
        for name in names:
            for key, prompt in (("changes", self.prompt), ("control", self.control)):
                tables[key].append(score(self._restored(name, prompt)) - baseline)
            update(1)
        found = {key: np.stack(rows) for key, rows in tables.items()}
        return {"baseline": baseline, "whole": score(self.clean) - baseline, **found}

    def images(self, strongest: str | None) -> NDArray[np.float32]:
        """Return pictures with noise, with the strongest layer put back, and without noise."""
        shown = [self.before, self.clean]
        if strongest is not None:
            shown.insert(1, self._restored(strongest, self.prompt))
        n = self.adapter.n_shown
        rows = torch.stack([x[:n].float().cpu() for x in shown], dim=1)
        return np.asarray(rows.numpy(), dtype=np.float32)

    def _corrupted(self, rows: slice, put_back: Any = None) -> Tensor:
        """Return the prompt's states with noise, one for each row."""
        noise = (self.positions, self.noise[rows])
        return self.encoder.states(self.prompt, rows.stop - rows.start, noise, put_back)

    def _pictures(self, states: Tensor, rows: slice) -> Tensor:
        with swap_text(self.layers, self.base, states):
            return batch_of_pictures(self.adapter, self.prompt, rows)

    def _restored(self, name: str, prompt: str) -> Tensor:
        """Return the pictures with noise, but for what a layer returns for a prompt."""
        adapter = self.adapter
        restore = self._with_text if adapter.sites == "text" else self._with_outputs
        return torch.cat(
            [restore(name, prompt, rows) for rows in batches(adapter, adapter.n_seeds)]
        )

    def _with_text(self, name: str, prompt: str, rows: slice) -> Tensor:
        places = self.positions[-1:] if self.adapter.tokens == "last" else self.positions
        put_back = (name, places, self.encoder.outputs(prompt)[name])
        return self._pictures(self._corrupted(rows, put_back), rows)

    def _with_outputs(self, name: str, prompt: str, rows: slice) -> Tensor:
        layer, states = self.layers[name], states_of(self.adapter.predictor, prompt)
        # around the swap, so that it still sees the prompt by which it knows the rows of a batch
        with _tape(layer, self.base, name) as outputs:
            self._pictures(states, rows)
        with _tape(layer, self.base, name, outputs):
            return self._pictures(self._corrupted(rows), rows)


@contextmanager
def _tape(
    layer: nn.Module, base: Tensor, name: str, outputs: list[Tensor] | None = None
) -> Iterator[list[Tensor]]:
    """Record what a layer returns, call by call, or have it return a recording.

    Args:
        layer: A cross-attention layer.
        base: States of the prompt that the network is asked for: rows of others do not count.
        name: Its name.
        outputs: The recording that is put back; None makes one.
    """
    own, tape = threading.get_ident(), [] if outputs is None else outputs
    rows: list[Tensor] = []
    call = 0

    def look(_module: nn.Module, args: Any, kwargs: Any) -> None:
        text = text_of(args, kwargs) if threading.get_ident() == own else None
        if text is not None:
            rows[:] = [rows_of(text, base)]

    def act(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal call
        if threading.get_ident() != own or not rows or not bool(rows[0].any()):
            return None
        if outputs is None:
            tape.append(output[rows[0]].detach().clone())
            return None
        if call >= len(tape) or len(tape[call]) != int(rows[0].sum()):
            hint = "Make them in one batch."
            raise ModelError("pictures", "made in the same steps", "other ones", hint, where=name)
        output = output.clone()
        output[rows[0]] = tape[call]
        call += 1
        return output

    handles = [
        layer.register_forward_pre_hook(look, with_kwargs=True),
        layer.register_forward_hook(act),
    ]
    try:
        yield tape
    finally:
        for handle in handles:
            handle.remove()
