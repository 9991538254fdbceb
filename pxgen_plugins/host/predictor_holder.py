"""The attribute ``predictor``, on which Alibi's saving and its explainers agree."""

from __future__ import annotations

from typing import Any

from pxgen_plugins import __version__
from pxgen_plugins.utils.errors import warn

__all__ = ["PredictorHolder", "warn_version"]


class PredictorHolder:
    """Keeps a model in ``predictor`` and out of what is pickled.

    Alibi's saving sets ``predictor`` to None, pickles the explainer and puts the model back, but
    not when writing fails. So setting None only marks the state as one to save without the model:
    a failed write takes nothing away, and other threads go on explaining meanwhile.
    """

    _predictor: Any = None
    _saving: bool = False

    @property
    def predictor(self) -> Any:
        """The model; None when there is none. To take it away, call ``reset_predictor(None)``."""
        return self._predictor

    @predictor.setter
    def predictor(self, value: Any) -> None:
        self._saving = value is None
        if value is None or value is self._predictor:
            return
        if self._predictor is None:
            self._predictor = value
        else:  # what was fitted belongs to the model that goes
            self.reset_predictor(value)

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor`` in the place of the present one."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if state.pop("_saving", False):
            state["_predictor"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        warn_version(state["meta"]["params"].get("pxgen_plugins_version"))


def warn_version(saved: str | None) -> None:
    """Warn when an explainer was saved by another version of this package."""
    if saved != __version__:
        warn(
            f"PXGen: saved by pxgen-plugins {saved}, loaded by {__version__}; "
            "fit again if results differ"
        )
