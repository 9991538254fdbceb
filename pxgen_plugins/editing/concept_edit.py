"""A concept that is read as another one, by new key and value matrices of some layers."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.adapters.base import alone, traceless
from pxgen_plugins.adapters.text_to_image.cross_attention import choose_layers, cross_attention
from pxgen_plugins.editing.closed_form import ridge_update
from pxgen_plugins.editing.files import Matrices, expect_same_weights, read_edit, write_edit
from pxgen_plugins.editing.report import EditReport, make_report
from pxgen_plugins.editing.token_pairs import TOKENS, concept_states, fill, preserved_states
from pxgen_plugins.models import require
from pxgen_plugins.models.runtime import exclusive_use
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr

__all__ = ["ConceptEdit"]

METHODS: dict[str, tuple[str, float]] = {
    "uce": ("onward", 0.5),
    "locoedit": ("last", 0.01),
    "time": ("all", 0.1),
}
"""Tokens and ridge of each method, where they are not given."""


class ConceptEdit:
    """A concept that is read as another one.

    In the chosen cross-attention layers the matrices that make keys and values of a prompt's states
    are replaced by the nearest ones that give the concept's tokens the keys and values of the
    target's. The replacement is computed at once, in closed form; it is in force inside
    :meth:`applied`, or in a :meth:`copy`. Two edits compose in order: one that is made inside
    ``first.applied()`` starts from the first one's weights, and holds there only; several concepts
    in one edit are solved together.

    Args:
        model: A model with ``prompt`` and ``cross_attention``.
        edits: From concepts to what they shall be read as, as ``{"three": "eight"}``; "" leaves the
            concept out.
        preserve: Concepts whose keys and values shall stay, as in UCE. Without any, words near to
            the edited ones move with them.
        templates: Prompts with a place ``{}`` for the concept. A text encoder makes other states
            of a word in other surroundings: give those in which it will be used.
        layers: Names of cross-attention layers, or what ``CrossAttentionLocalisation.explain``
            returned, of which the strongest window is taken; None takes all layers.
        method: Defaults of ``tokens`` and ``ridge``: ``"uce"`` (Gandikota et al. 2024; onward,
            0.5), ``"locoedit"`` (Basu et al. 2024; last, 0.01) or ``"time"`` (Orgad et al. 2023;
            all, 0.1).
        tokens: Which tokens of the prompts are read as others: ``"last"`` of the concept,
            ``"onward"`` from there to the end, or ``"all"``.
        ridge: Weight of the distance from the present matrices, > 0.
        preserve_weight: Weight of what is preserved, >= 0.
        keys: Replace the matrices of keys.
        values: Replace those of values.

    Attributes:
        layers: Names of the layers changed, first run first.
        matrices: Names of the matrices changed, as in ``model.network.state_dict()``.
        settings: The arguments, as JSON holds them.

    Raises:
        ParameterError: When an argument is not allowed, or a concept is not in its prompts.
        CapabilityError: When the model takes no prompt.
        ModelError: When a layer's matrices are not plain linear layers (fused, or with LoRA).

    Cost: one picture, and O(d^3) for every matrix of d inputs.

    Example:
        >>> from pxgen_plugins.datasets import load_mnist_text
        >>> from pxgen_plugins.models import from_diffusers
        >>> model = from_diffusers(load_mnist_text(), guidance=1.0, steps=2)
        >>> edit = ConceptEdit(model, {"three": "eight"}, preserve=["four"], templates=["a {}"])
        >>> before = model.sample(1, seed=0, prompt="a three")
        >>> with edit.applied():
        ...     after = model.sample(1, seed=0, prompt="a three")
        >>> bool((after == before).all())
        False
        >>> bool((model.sample(1, seed=0, prompt="a three") == before).all())
        True
    """

    @caller("ConceptEdit")
    def __init__(
        self,
        model: Any,
        edits: Mapping[str, str],
        *,
        preserve: Sequence[str] = (),
        templates: Sequence[str] = ("{}",),
        layers: Any = None,
        method: str = "uce",
        tokens: str | None = None,
        ridge: float | None = None,
        preserve_weight: float = 1.0,
        keys: bool = True,
        values: bool = True,
    ) -> None:
        require(
            model, ["sample", "prompt", "cross_attention"], "ConceptEdit edits what words mean."
        )
        usual = METHODS[validation.choice(method, "method", tuple(METHODS))]
        tokens = usual[0] if tokens is None else validation.choice(tokens, "tokens", TOKENS)
        ridge = usual[1] if ridge is None else validation.real(ridge, "ridge", above=0.0)
        weight = validation.real(preserve_weight, "preserve_weight", minimum=0.0)
        parts = [
            part
            for part, wanted in (("to_k", keys), ("to_v", values))
            if validation.boolean(wanted, {"to_k": "keys", "to_v": "values"}[part])
        ]
        if not parts:
            raise ParameterError("keys", "True, or values", "False for both", "Change one of them.")
        edits = _edits(edits)
        preserve, templates = _texts(preserve, "preserve"), _texts(templates, "templates")
        _expect_places(templates)
        for concept in preserve:
            if concept in edits:
                hint = "Leave it out of one of them."
                raise ParameterError("preserve", "other than what is edited", repr(concept), hint)
        self.model = model
        with traceless(model):
            first = fill(templates[0], next(iter(edits)))
            chosen = choose_layers(cross_attention(model, first), _names(layers))
            pairs = [concept_states(model, *one, templates, tokens) for one in edits.items()]
            kept = preserved_states(model, preserve, templates)
        inputs, others = (torch.cat(states) for states in zip(*pairs, strict=True))
        self.layers = list(chosen)
        self._weights = {
            f"{name}.{part}.weight": _weight(layer, name, part)
            for name, layer in chosen.items()
            for part in parts
        }
        solved = {
            name: ridge_update(w, inputs, others, kept, ridge=ridge, preserve_weight=weight)
            for name, w in self._weights.items()
        }
        self._matrices = Matrices(
            {name: w.detach().clone() for name, w in self._weights.items()},
            {name: new.to(self._weights[name]) for name, new in solved.items()},
        )
        self.settings: dict[str, Any] = {
            "edits": edits,
            "preserve": preserve,
            "templates": templates,
            "layers": self.layers,
            "method": method,
            "tokens": tokens,
            "ridge": ridge,
            "preserve_weight": weight,
            "keys": keys,
            "values": values,
        }

    @property
    def matrices(self) -> list[str]:
        """Names of the matrices changed."""
        return list(self._weights)

    @contextmanager
    def applied(self) -> Iterator[Any]:
        """Put the new matrices in force, and the former ones back at the end, bit by bit.

        Other threads wait meanwhile when they want to run the model. The weights on entry must be
        those that the edit was made for.

        Yields:
            The model.

        Raises:
            ParameterError: When the weights have changed since, as by another edit in force.
        """
        with alone(), exclusive_use([self.model.network]):
            with caller("ConceptEdit.applied"):
                expect_same_weights(self._weights, self._matrices.before)
            try:
                self._put(self._matrices.after)
                yield self.model
            finally:
                self._put(self._matrices.before)

    def copy(self) -> Any:
        """Return a deep copy of the model with the new matrices; the model itself stays.

        Raises:
            ModelError: When the copy does not run the new matrices, as a model made of functions
                that hold its network.

        Cost: one picture.
        """
        with self.applied():
            other = copy.deepcopy(self.model)
        try:
            with traceless(other):
                run = set(cross_attention(other, self._prompt()))
        except ModelError:
            run = set()
        if not run.issuperset(self.layers):
            hint = "Build it of modules, as in TextToImage(unet, ...), or use applied()."
            got = "one made of functions that hold its network"
            with caller("ConceptEdit.copy"):
                raise ModelError("model", "one whose deep copy has a network of its own", got, hint)
        return other

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the new matrices (safetensors) and what was done (JSON) into a folder.

        Raises:
            OSError: When it cannot be written.
        """
        write_edit(folder, self._matrices, self.settings)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], model: Any) -> ConceptEdit:
        """Return an edit that was saved, for the same model.

        Raises:
            ParameterError: When the folder holds no edit, a damaged one, or one of other weights.
        """
        with caller("ConceptEdit.load"):
            require(
                model, ["sample", "prompt", "cross_attention"], "It was made for another model."
            )
            after, settings = read_edit(folder)
            own = dict(model.network.named_parameters())
            for name in after.tensors:
                if name not in own:
                    hint = "Load it with the model that it was made for."
                    raise ParameterError("model", f"one with {short_repr(name)}", "another", hint)
            edit = cls.__new__(cls)
            edit.model, edit.settings = model, settings
            edit.layers = list(settings["layers"])
            edit._weights = {name: own[name] for name in after.tensors}
            after.expect_made_for(edit._weights)
            before = {name: w.detach().clone() for name, w in edit._weights.items()}
            edit._matrices = Matrices(
                before, {name: new.to(edit._weights[name]) for name, new in after.tensors.items()}
            )
        return edit

    def report(
        self,
        prompts: Any,
        scorer: Any,
        *,
        n_seeds: int = 8,
        guidance: float | None = None,
        seed: int = 0,
    ) -> EditReport:
        """Return what the edit does: efficacy, specificity, and drift of unrelated prompts.

        Args:
            prompts: From concepts to their prompts, edited ones and others, or a list of unrelated
                prompts. Edited concepts without prompts take the templates.
            scorer: How much of a concept a picture shows: a callable from pictures
                (n, *sample_shape) to (n,), or a criterion; or a mapping from concepts to them, of
                which targets are looked up as well.
            n_seeds: Pictures of every prompt, before and after from the same noise, >= 2.
            guidance: Strength of guidance; None takes the model's.
            seed: Seed of the noise.

        Raises:
            ParameterError: When an argument is not allowed.

        Cost: 2 n_seeds pictures for every prompt.
        """
        with caller("ConceptEdit.report"):
            return make_report(self, prompts, scorer, n_seeds, guidance, seed)

    def _prompt(self) -> str:
        """Return a prompt with an edited concept."""
        return fill(self.settings["templates"][0], next(iter(self.settings["edits"])))

    def _put(self, matrices: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(matrices[name])

    def __repr__(self) -> str:
        return (
            f"ConceptEdit({self.settings['edits']}, layers={self.layers}, "
            f"preserve={self.settings['preserve']})"
        )


def _edits(edits: Any) -> dict[str, str]:
    if not isinstance(edits, Mapping) or not edits:
        hint = "Pass edits={'three': 'eight'}, say."
        raise ParameterError("edits", "a mapping of words to words", short_repr(edits), hint)
    _texts(list(edits), "edits")
    for target in edits.values():
        if not isinstance(target, str):
            hint = "Pass edits={'three': 'eight'}, say; '' leaves the concept out."
            raise ParameterError("edits", "a mapping of words to words", short_repr(target), hint)
    return {concept.strip(): target.strip() for concept, target in edits.items()}


def _texts(given: Any, parameter: str) -> list[str]:
    several = [given] if isinstance(given, str) else list(given)
    for one in several:
        if not isinstance(one, str) or not one.strip():
            hint = f"Pass {parameter}=['four', 'five'], say."
            raise ParameterError(parameter, "a list of texts", short_repr(one), hint)
    return [one.strip() for one in several]


def _expect_places(templates: list[str]) -> None:
    for template in templates:
        if template.count("{}") != 1:
            hint = "Pass templates=['a {}', 'a picture of a {}'], say."
            raise ParameterError("templates", "texts with one {}", short_repr(template), hint)
    if not templates:
        raise ParameterError("templates", "at least one", "none", "Leave it out for '{}'.")


def _names(layers: Any) -> Any:
    """Return names of layers; of a localisation those of its strongest window."""
    data = getattr(layers, "data", None)
    if not isinstance(data, Mapping):
        return layers
    strongest = data.get("strongest")
    if data.get("evidence") != "localisation" or data.get("kind") == "text" or strongest is None:
        hint = "Pass what CrossAttentionLocalisation.explain returned, or names of layers."
        allowed = "a localisation in cross-attention layers that found a strongest window"
        raise ParameterError("layers", allowed, short_repr(type(layers).__name__), hint)
    return list(data["places"][int(strongest)])


def _weight(layer: Any, name: str, part: str) -> Tensor:
    """Return a layer's matrix, if it alone makes keys or values of the states."""
    linear = getattr(layer, part, None)
    fused = bool(getattr(layer, "fused_projections", False))
    normed = bool(getattr(layer, "norm_cross", None))
    if type(linear) is not nn.Linear or fused or normed:
        hint = "Undo fuse_qkv_projections() and unload LoRA weights, say, or name other layers."
        got = "fused" if fused else "behind a norm" if normed else type(linear).__name__
        allowed = "a plain linear layer of the prompt's states"
        raise ModelError(part, allowed, got, hint, where=name)
    return linear.weight
