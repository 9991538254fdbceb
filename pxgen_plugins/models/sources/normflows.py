"""Flows of normflows."""

from __future__ import annotations

from typing import Any

from pxgen_plugins.models._global_rng import with_seed
from pxgen_plugins.models.flow import Flow
from pxgen_plugins.models.sources.base import Source, is_of, register
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["from_normflows"]


@caller("from_normflows")
def from_normflows(obj: Any, *, sample_shape: tuple[int, ...], **settings: Any) -> Flow:
    """Return a flow of normflows as a :class:`~pxgen_plugins.models.Flow`.

    A diagonal Gaussian base may have learned its mean and scale, and have a temperature; codes are
    standardised by them, so that their prior is N(0, I).

    Args:
        obj: The flow, ``normflows.NormalizingFlow(q0, flows)``.
        sample_shape: Shape of one instance, which normflows does not keep.
        settings: Further arguments of the family.

    Raises:
        ParameterError: When ``obj`` is no flow of normflows.
        ModelError: When it does not behave as one.
    """
    if not hasattr(obj, "q0") or not hasattr(obj, "log_prob") or not is_of(obj, "normflows"):
        hint = "Pass the flow itself, as normflows.NormalizingFlow(q0, flows)."
        raise ParameterError("obj", "a flow of normflows", short_repr(obj), hint)
    base = obj.q0
    if type(base).__name__ == "DiagGaussian" and hasattr(obj, "inverse"):

        def scale() -> Any:  # asked each time: it is a weight
            return base.log_scale.exp() * (getattr(base, "temperature", None) or 1.0)

        settings["embed"] = lambda x: (obj.inverse(x) - base.loc) / scale()
        settings["decode"] = lambda z: obj.forward(z * scale() + base.loc)
    else:
        settings["sample"] = with_seed(lambda n: obj.sample(n)[0])
    model = Flow(obj, modules=(), sample_shape=sample_shape, **settings)
    model.origin = f"normflows {type(obj).__name__}, base {type(base).__name__}"
    return model


@register("normflows")
class NormFlows(Source):
    """Flows of normflows."""

    order = 20
    what = "a flow of normflows"
    families = (Flow,)
    build = staticmethod(from_normflows)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is of normflows."""
        return is_of(obj, "normflows") and hasattr(obj, "q0")
