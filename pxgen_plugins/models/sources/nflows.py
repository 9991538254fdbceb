"""Flows of nflows."""

from __future__ import annotations

from typing import Any

from pxgen_plugins.models._global_rng import with_seed
from pxgen_plugins.models.flow import Flow
from pxgen_plugins.models.sources.base import Source, is_of, register
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["from_nflows"]


@caller("from_nflows")
def from_nflows(
    obj: Any, *, sample_shape: tuple[int, ...], context: Any = None, **settings: Any
) -> Flow:
    """Return a flow of nflows as a :class:`~pxgen_plugins.models.Flow`.

    nflows has no public way from noise to instances; its transform's ``inverse`` is called.

    Args:
        obj: The flow, ``nflows.flows.Flow(transform, distribution)``.
        sample_shape: Shape of one instance, which nflows does not keep.
        context: Row of shape (1, c) that a conditional flow is conditioned on.
        settings: Further arguments of the family.

    Raises:
        ParameterError: When ``obj`` is no flow of nflows.
        ModelError: When it does not behave as one.
    """
    if not hasattr(obj, "transform_to_noise") or not is_of(obj, "nflows"):
        hint = "Pass the flow itself, as nflows.flows.Flow(transform, distribution)."
        raise ParameterError("obj", "a flow of nflows", short_repr(obj), hint)

    def rows(n: int) -> Any:
        return None if context is None else context.expand(n, -1)

    def log_prob(x: Any) -> Any:
        return obj.log_prob(x, context=rows(len(x)))

    if type(obj._distribution).__name__ == "StandardNormal":
        settings["embed"] = lambda x: obj.transform_to_noise(x, context=rows(len(x)))

        def decode(z: Any) -> Any:
            row = rows(len(z))
            row = None if row is None else obj._embedding_net(row)
            return obj._transform.inverse(z, context=row)[0]

        settings["decode"] = decode
    else:

        def draw(n: int) -> Any:
            samples = obj.sample(n, context=context)
            return samples if context is None else samples[0]

        settings["sample"] = with_seed(draw)
    model = Flow(obj, modules=(), log_prob=log_prob, sample_shape=sample_shape, **settings)
    model.origin = f"nflows {type(obj).__name__}, base {type(obj._distribution).__name__}"
    return model


@register("nflows")
class NFlows(Source):
    """Flows of nflows."""

    order = 20
    what = "a flow of nflows"
    families = (Flow,)
    build = staticmethod(from_nflows)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is of nflows."""
        return is_of(obj, "nflows") and hasattr(obj, "transform_to_noise")
