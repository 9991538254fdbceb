"""Changing an explainer's parameters, as AIX360's global explainers and scikit-learn name it."""

from __future__ import annotations

import importlib
from typing import Any, TypeVar

from pxgen_plugins.utils.errors import caller

__all__ = ["NOT_ARGUMENTS", "Parameters", "as_global_explainer"]

NOT_ARGUMENTS = ("chosen", "pxgen_plugins_version")  # of the parameters in the metadata
T = TypeVar("T", bound=type[Any])
P = TypeVar("P", bound="Parameters")


class Parameters:
    """Gives an explainer ``set_params``; its constructor's arguments stand in its metadata."""

    def set_params(self: P, **params: Any) -> P:
        """Change arguments of the constructor; what was fitted is dropped.

        Args:
            params: Arguments by name. Those that the metadata hold by name alone (functions as
                ``space`` or ``selectors``) have to be given again.

        Raises:
            ParameterError: When one is not allowed.

        Example:
            >>> from pxgen_plugins import PXGen
            >>> from pxgen_plugins.testing.examples import LinearModel
            >>> explainer = PXGen(LinearModel()).set_params(n_representatives=3, seed=7)
            >>> explainer.n_representatives, explainer.seed
            (3, 7)
        """
        own: Any = self
        saved = own.meta["params"]
        given = {k: v for k, v in saved.items() if k not in NOT_ARGUMENTS}
        # what was chosen by family is chosen anew; criteria and rules are taken as they are
        of_kind = {
            kind: [criterion for criterion in own.criteria if criterion.kind == kind]
            for kind in ("intrinsic", "extrinsic")
        }
        objects = {**of_kind, "threshold": own.threshold, "sampler": own.sampler}
        chosen = saved.get("chosen") or {}
        given |= {name: None if name in chosen else value for name, value in objects.items()}
        with caller("PXGen.set_params"):
            changed = type(own)(own.predictor, **{**given, **params})
        own.__dict__.update(changed.__dict__)
        return self


def as_global_explainer(cls: T) -> T:
    """Register a class as a global explainer of AIX360, where AIX360 is installed.

    Its base class asks for ``set_params``, ``fit`` and ``explain``, whatever their arguments.
    """
    try:
        base = importlib.import_module("aix360.algorithms.gwbe").GlobalWBExplainer
        base.register(cls)
    except Exception:  # absent, or broken: nothing of it is needed
        return cls
    return cls
