"""A description of a model: what it can do, and which criteria work with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pxgen_plugins.criteria import for_model
from pxgen_plugins.criteria.base import REGISTRY
from pxgen_plugins.models.base import CAPABILITIES, capabilities, properties
from pxgen_plugins.models.runtime import Autocast
from pxgen_plugins.utils.html import rows_card

__all__ = ["Description", "describe", "model_summary"]


@dataclass(frozen=True)
class Description:
    """What a model is and can do.

    Attributes:
        family: Name of its class.
        origin: What it was made of; empty where it was built by hand.
        sample_shape: Shape of one instance; None when it varies.
        latent_shape: Shape of one latent code; None without a latent space.
        data_range: Lowest and highest value of an instance; None when unbounded.
        capabilities: What it can do.
        intrinsic: Names of the intrinsic criteria that work with it.
        extrinsic: Names of the extrinsic ones.
        missing: For every other criterion the capability or property that it lacks.
    """

    family: str
    origin: str
    sample_shape: tuple[int, ...] | None
    latent_shape: tuple[int, ...] | None
    data_range: tuple[float, float] | None
    capabilities: tuple[str, ...]
    intrinsic: tuple[str, ...]
    extrinsic: tuple[str, ...]
    missing: dict[str, str]

    def __str__(self) -> str:
        lines = [self.family + (f" ({self.origin})" if self.origin else "")]
        lines.append(f"  instances: shape {self.sample_shape}, range {self.data_range}")
        lines.append(f"  latent codes: {self.latent_shape or 'no access'}")
        lines += [f"  can {CAPABILITIES.get(name, name)}" for name in self.capabilities]
        for kind, names in (("intrinsic", self.intrinsic), ("extrinsic", self.extrinsic)):
            lines.append(f"  {kind} criteria: " + (", ".join(names) or "none"))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            ("instances", f"shape {self.sample_shape}, range {self.data_range}"),
            ("latent codes", str(self.latent_shape or "no access")),
            *(("can", CAPABILITIES.get(name, name)) for name in self.capabilities),
            ("intrinsic criteria", ", ".join(self.intrinsic) or "none"),
            ("extrinsic criteria", ", ".join(self.extrinsic) or "none"),
        ]
        origin = f" ({self.origin})" if self.origin else ""
        lacking = "; ".join(f"{name} needs {what}" for name, what in self.missing.items())
        notes = [f"Other criteria: {lacking}."] if lacking else []
        return rows_card(f"{self.family}{origin}", rows, notes)


def describe(model: Any) -> Description:
    """Return what ``model`` can do and which registered criteria work with it.

    Args:
        model: Any model of :mod:`pxgen_plugins.models`, or anything with that protocol.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> description = describe(LinearModel())
        >>> "kld" in description.intrinsic, description.missing["discriminator"]
        (True, 'score')
    """
    have, has = capabilities(model), properties(model)
    missing = {}
    for name in REGISTRY.names():
        criterion = REGISTRY.get(name)
        lacking = sorted(criterion.requires - have) or sorted(criterion.needs - has)
        if lacking:
            missing[name] = lacking[0]
    return Description(
        family=type(model).__name__,
        origin=getattr(model, "origin", ""),
        sample_shape=getattr(model, "sample_shape", None),
        latent_shape=getattr(model, "latent_shape", None),
        data_range=getattr(model, "data_range", None),
        capabilities=tuple(sorted(have)),
        intrinsic=tuple(for_model(model, "intrinsic")),
        extrinsic=tuple(for_model(model, "extrinsic")),
        missing=missing,
    )


def model_summary(model: Any) -> dict[str, Any]:
    """Return what a reader of the explanation must know of the model."""
    have = capabilities(model)
    family = type(model.wrapped if isinstance(model, Autocast) else model)
    return {
        "family": family.__name__,
        "capabilities": sorted(have),
        "latent_access": bool(have & {"encode", "embed", "codes"}),
    }
