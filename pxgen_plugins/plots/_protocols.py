"""What the figures read of objects from rooms above: comparison, evaluation and audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils.errors import ParameterError

__all__ = [
    "Changes",
    "Comparison",
    "Distance",
    "ModelComparison",
    "Outcome",
    "Removal",
    "Row",
    "Scorecard",
    "SteeringLog",
    "SteeringTrial",
    "Study",
    "Training",
    "require",
]


def require(value: Any, parameter: str, names: Sequence[str], kind: str, hint: str) -> None:
    """Raise unless ``value`` has these attributes, by which a figure knows its kind.

    Raises:
        ParameterError: When it lacks one.
    """
    if not all(hasattr(value, name) for name in names):
        raise ParameterError(parameter, kind, f"a {type(value).__name__}", hint)


class Changes(Protocol):
    """Changes between two runs."""

    @property
    def matrix(self) -> NDArray[np.int64]: ...  # (5, 5): rows before, columns after


class Outcome(Protocol):
    """One method of a comparison; no explanation where it cannot run, or failed."""

    @property
    def label(self) -> str: ...
    @property
    def evidence(self) -> str | None: ...
    @property
    def explanation(self) -> Any: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


class Comparison(Protocol):
    """What several methods say of the same anchors."""

    @property
    def groups(self) -> Any: ...  # PXGen's explanation of all anchors
    @property
    def anchors(self) -> NDArray[np.float32]: ...  # those that local methods explained
    @property
    def indices(self) -> NDArray[np.int64]: ...
    @property
    def reconstructions(self) -> NDArray[np.float32] | None: ...
    @property
    def outcomes(self) -> Sequence[Outcome]: ...
    @property
    def pictures(self) -> Mapping[str, NDArray[np.float32]]: ...
    @property
    def columns(self) -> Sequence[str]: ...  # of a table's rows; empty for other anchors


class Distance(Protocol):
    """Distances of the samples of a model to the anchors."""

    @property
    def frechet(self) -> float: ...
    @property
    def kernel(self) -> float: ...
    @property
    def kernel_error(self) -> float: ...


class ModelComparison(Protocol):
    """What several models make of the same anchors, by the models' names or by pair ("a / b")."""

    @property
    def comparisons(self) -> Mapping[str, Comparison]: ...
    @property
    def migration(self) -> Mapping[str, Any]: ...  # what plot_migration takes, and ``same``
    @property
    def distances(self) -> Mapping[str, Distance]: ...
    @property
    def samples(self) -> Mapping[str, NDArray[np.float32]]: ...
    @property
    def representatives(self) -> Mapping[str, Mapping[str, NDArray[np.float32]]]: ...


class Removal(Protocol):
    """The result of a removal experiment."""

    @property
    def distances(self) -> Sequence[str]: ...
    @property
    def rankings(self) -> Sequence[str]: ...
    @property
    def schedules(self) -> Sequence[str]: ...
    def curve(self, ranking: str, schedule: str, distance: str | None = None) -> Any: ...
    def floor(self, distance: str | None = None) -> Mapping[str, Any]: ...


class Row(Protocol):
    """A measured number, and what it should be."""

    @property
    def check(self) -> str: ...
    @property
    def case(self) -> str: ...
    @property
    def measure(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def state(self) -> str: ...
    @property
    def note(self) -> str: ...
    @property
    def expected(self) -> str: ...


class Scorecard(Protocol):
    """The rows of a scorecard."""

    @property
    def rows(self) -> Sequence[Row]: ...
    def counts(self) -> dict[str, int]: ...


class SteeringTrial(Protocol):
    """One question of the reconstruction task, m rows."""

    @property
    def question(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def elapsed(self) -> NDArray[np.float64]: ...  # active seconds
    @property
    def agreement(self) -> NDArray[np.float64]: ...
    @property
    def release(self) -> NDArray[np.bool_]: ...


class SteeringLog(Protocol):
    """What somebody did with the sliders of one representation."""

    @property
    def label(self) -> str: ...
    @property
    def about(self) -> Mapping[str, Any]: ...
    @property
    def trials(self) -> Sequence[SteeringTrial]: ...
    @property
    def pictures(self) -> NDArray[np.float32] | None: ...  # (q, 3, *sample_shape)


class Study(Protocol):
    """Shares of the groups, setting by setting."""

    @property
    def name(self) -> str: ...
    @property
    def rows(self) -> Sequence[Mapping[str, Any]]: ...


class Training(Protocol):
    """Training samples by method, and rows that measure them."""

    @property
    def images(self) -> Mapping[str, NDArray[Any]]: ...
    @property
    def rows(self) -> Sequence[Mapping[str, Any]]: ...
