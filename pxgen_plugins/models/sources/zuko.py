"""Flows of zuko."""

from __future__ import annotations

from typing import Any

import torch

from pxgen_plugins.models._global_rng import with_seed
from pxgen_plugins.models.flow import Flow
from pxgen_plugins.models.sources.base import Source, is_of, register
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["from_zuko"]


@caller("from_zuko")
def from_zuko(obj: Any, *, context: Any = None, **settings: Any) -> Flow:
    """Return a flow of zuko as a :class:`~pxgen_plugins.models.Flow`.

    Args:
        obj: The flow, as ``zuko.flows.NSF(...)``.
        context: What a conditional flow is conditioned on, the same for all instances.
        settings: Arguments of the family, such as ``data_range`` or ``preprocess``; with
            ``sample_shape``, instances are flattened for the flow.

    Raises:
        ParameterError: When ``obj`` is no flow of zuko.
        ModelError: When it does not behave as one.
    """
    if not callable(obj) or not is_of(obj, "zuko"):
        hint = "Pass the flow itself, as zuko.flows.NSF(features=2)."
        raise ParameterError("obj", "a flow of zuko", short_repr(obj), hint)

    def distribution() -> Any:
        return obj() if context is None else obj(context)

    with torch.no_grad():
        first = distribution()
    size = tuple(int(part) for part in first.event_shape)
    shape = tuple(settings.pop("sample_shape", None) or size)
    settings |= {"sample_shape": shape, "latent_shape": size}
    base = getattr(first, "base", None)
    if hasattr(first, "transform") and _is_standard(base):
        settings["embed"] = lambda x: distribution().transform(x.reshape(-1, *size))
        settings["decode"] = lambda z: distribution().transform.inv(z).reshape(-1, *shape)
    else:
        settings["sample"] = with_seed(lambda n: distribution().sample((n,)).reshape(n, *shape))
    model = Flow(
        obj,
        modules=(),
        log_prob=lambda x: distribution().log_prob(x.reshape(-1, *size)),
        **settings,
    )
    model.origin = f"zuko {type(obj).__name__}, {size[-1]} features"
    return model


def _is_standard(base: Any) -> bool:
    """Return whether the base distribution is N(0, I)."""
    base = getattr(base, "base_dist", base)  # inside torch's Independent
    loc, scale = getattr(base, "loc", None), getattr(base, "scale", None)
    if not isinstance(loc, torch.Tensor) or not isinstance(scale, torch.Tensor):
        return False
    return bool((loc == 0).all() and (scale == 1).all())


@register("zuko")
class Zuko(Source):
    """Flows of zuko."""

    order = 20
    what = "a flow of zuko"
    families = (Flow,)
    build = staticmethod(from_zuko)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is of zuko."""
        return is_of(obj, "zuko") and callable(obj)
