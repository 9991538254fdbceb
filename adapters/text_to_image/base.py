"""What the adapters that localise a concept share: arguments, scores, and their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.base import Adapter
from pxgen_plugins.adapters.text_to_image.pictures import pictures
from pxgen_plugins.adapters.text_to_image.prompts import concept_text, prompts_of, texts
from pxgen_plugins.adapters.text_to_image.scores import (
    Effects,
    Scorer,
    effects_of,
    scorer_label,
    scorer_of,
)
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import warn
from pxgen_plugins.utils.seeds import derive

__all__ = ["DEFAULT_DATA_LOCALISATION", "Localisation", "conclusions"]

Floats = NDArray[np.float64]

DEFAULT_DATA_LOCALISATION: dict[str, Any] = {
    "kind": None,
    "layers": [],
    "places": [],
    "window": None,
    "prompts": [],
    "others": [],
    "scorer": None,
    "guidance": None,
    "baseline": None,
    "whole": None,
    "whole_interval": None,
    "effect": None,
    "effect_interval": None,
    "share": None,
    "share_interval": None,
    "control": None,
    "control_effect": None,
    "control_share": None,
    "control_share_interval": None,
    "strongest": None,
    "images": None,
    "n_seeds": None,
}
"""Data of a localisation, to be deep-copied; the docstrings of the adapters have the keys."""


@dataclass(repr=False, eq=False)
class Localisation(Adapter):
    """Base of the adapters that look for the layers that carry a concept.

    Args:
        predictor: The model.
        concept: Words of the prompts, or a whole prompt.
        prompts: Prompts that hold the concept; None takes the concept itself.
        n_seeds: Pictures of every prompt, >= 2.
        guidance: Strength of guidance; None takes the model's.
        n_shown: Pictures kept, >= 0.
    """

    evidence = "localisation"
    access = "activations"
    learns_from: ClassVar[str] = ""
    requires = frozenset({"sample", "prompt", "cross_attention"})
    scope: ClassVar[list[str]] = ["global"]
    target_argument: ClassVar[str] = "scorer"
    defaults: ClassVar[Mapping[str, Any]] = DEFAULT_DATA_LOCALISATION

    concept: Any
    _: KW_ONLY
    prompts: Any = None
    n_seeds: int = 8
    guidance: float | None = None
    n_shown: int = 4

    def _check(self) -> None:
        super()._check()
        self.concept = concept_text(self.concept, "concept")
        if self.prompts is not None:
            self.prompts = texts(self.prompts, "prompts")
        self.n_seeds = validation.integer(self.n_seeds, "n_seeds", minimum=2)
        self.n_shown = validation.integer(self.n_shown, "n_shown", minimum=0)
        if self.guidance is not None:
            self.guidance = validation.real(self.guidance, "guidance", minimum=0.0)

    def _prompts(self, X: Any) -> list[str]:
        return prompts_of(X, self.prompts or [self.concept])

    def _params(self) -> dict[str, Any]:
        params = super()._params()
        if "scorer" in params:
            params["scorer"] = scorer_label(params["scorer"])
        return params

    def _pictures(self, prompt: str) -> Tensor:
        """Return a picture of every seed; for every prompt they begin with the same noise."""
        return pictures(self, prompt, self.n_seeds)

    def _scorer(self, scorer: Any, prompt: str) -> Scorer:
        return scorer_of(scorer, self.predictor, prompt, derive(self.seed, "score"))


def conclusions(
    places: Sequence[Sequence[str]], changes: Floats, whole: Floats, control: Floats, who: str
) -> dict[str, Any]:
    """Return the part of the data that follows from scores.

    Args:
        places: The k places.
        changes: Change of the score by each place, (k, n).
        whole: Change by all of them, (n,).
        control: Change by each place where it is given the control, (k, n).
        who: Who says what the score does not show.
    """
    total = effects_of(whole[None], whole)
    found: Effects = effects_of(changes, whole)
    null = effects_of(control, whole)
    low, high = total.interval[0].tolist()
    known = bool(low > 0.0 or high < 0.0)
    if not known:
        warn(
            f"{who}: the scorer does not tell the prompts apart (95% interval of the change "
            f"{low:.3g} to {high:.3g}), so that there are no shares. Take more seeds, or another "
            "scorer."
        )
        found, null = found.without_shares(), null.without_shares()
    return {
        "places": [list(place) for place in places],
        "window": max(len(place) for place in places),
        "whole": float(total.effect[0]),
        "whole_interval": total.interval[0],
        "effect": found.effect,
        "effect_interval": found.interval,
        "share": found.share,
        "share_interval": found.share_interval,
        "control_effect": null.effect,
        "control_share": null.share,
        "control_share_interval": null.share_interval,
        "strongest": int(np.nanargmax(found.share)) if known else None,
        "n_seeds": changes.shape[1],
    }
