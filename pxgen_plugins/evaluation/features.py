"""Features of images, for distances between sets of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pxgen_plugins.anchors import open_for
from pxgen_plugins.criteria.base import Batch
from pxgen_plugins.models.base import Model, capabilities
from pxgen_plugins.models.outputs import FEATURES, one_array
from pxgen_plugins.models.runtime import EvaluationMode, expect_weights, modules_of
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import (
    AnchorError,
    ModelError,
    ParameterError,
    PXGenError,
    caller,
    short_repr,
)
from pxgen_plugins.utils.progress import bar

__all__ = ["extract_features"]


class _NoModel:
    """Stands for a model where instances are read as they are: shape, range, device, type."""

    capabilities: frozenset[str] = frozenset()
    latent_shape = None

    def __init__(
        self,
        sample_shape: tuple[int, ...] | None,
        data_range: tuple[float, float] | None,
        modules: list[nn.Module],
    ) -> None:
        self.sample_shape, self.data_range = sample_shape, data_range
        expect_weights(modules)
        weights = (p for module in modules for p in module.parameters() if p.is_floating_point())
        first = next(weights, torch.empty(0))
        self.device, self.dtype = first.device, first.dtype


@caller("extract_features")
def extract_features(
    X: Any,
    network: Any = None,
    *,
    sample_shape: tuple[int, ...] | None = None,
    data_range: tuple[float, float] | None = (0.0, 1.0),
    anchors_range: tuple[float, float] | None = None,
    batch_size: int = 256,
    verbose: bool = False,
) -> NDArray[np.float32]:
    """Return one row of features per instance, (n, d).

    Args:
        X: Anything :func:`~pxgen_plugins.anchors.open_anchors` reads; uint8 is scaled to the range.
        network: What makes the features: a model of :mod:`pxgen_plugins.models` (its latent codes,
            the posterior mean where there is one), a module or any other callable from a batch
            (b, ...) to features, or None for the elements themselves. Feature maps (b, c, h, w)
            are averaged over positions, as Heusel et al. (2017) do; anything else is flattened.
            Of a tuple, mapping or dataclass the only tensor is taken, or that of a usual name
            (``features``, ``pooler_output``, ...).
            Modules, also those behind a method (``net.features``), are called in evaluation mode,
            on their device and in their floating type, and keep their flags. Any other function is
            called as it is: put a network inside it in evaluation mode first.
        sample_shape: Shape of one instance as the network takes it; None takes ``X`` as it is. A
            model brings its own, and its own range.
        data_range: Lowest and highest value that the network takes; None when unbounded.
        anchors_range: Lowest and highest value that ``X`` may hold, scaled to ``data_range``; None
            takes uint8 as 0 to 255 and floats as they are.
        batch_size: Instances per call.
        verbose: Show a progress bar.

    Returns:
        float32; of shape (0, 0) without instances. Features that are not finite are kept, and
        refused by the distances.

    Raises:
        ParameterError: When ``network`` is none of these, or returns something else.
        AnchorError: When an instance cannot be read, is not finite or leaves the range.
        ModelError: When the network raises.

    Cost: n passes through the network; memory 8 n d bytes.

    Example:
        >>> images = np.zeros((3, 1, 8, 8), dtype=np.uint8)
        >>> extract_features(images).shape, extract_features(images, nn.Conv2d(1, 5, 3)).shape
        ((3, 64), (3, 5))
    """
    is_model = isinstance(network, Model) and not isinstance(network, nn.Module)
    if is_model and not capabilities(network) & {"encode", "embed"}:
        hint = "Pass a network, or None for the elements themselves."
        got = f"a {type(network).__name__} without latent codes"
        raise ParameterError("network", "able to encode or embed", got, hint)
    if network is not None and not is_model and not callable(network):
        hint = "Pass a module, as in network=net.features."
        raise ParameterError("network", "callable on a batch", short_repr(network), hint)
    if sample_shape is not None:
        sample_shape = validation.shape(sample_shape, "sample_shape")
    modules = [] if is_model else modules_of(network)
    within = validation.data_range(data_range)
    model = network if is_model else _NoModel(sample_shape, within, modules)
    size = validation.integer(batch_size, "batch_size", minimum=1)
    scorer = Scorer(model, [], batch_size=size)
    anchors = open_for(model, X, anchors_range=anchors_range)
    parts: list[NDArray[np.float32]] = []
    reasons: dict[int, str] = {}
    with (
        bar(len(anchors), "features", "instance", verbose) as progress,
        torch.no_grad(),
        EvaluationMode(modules)(),
    ):
        for _, x in scorer.batches(anchors, None, reasons):
            if reasons:
                index, why = next(iter(reasons.items()))
                hint = "Leave it out."
                raise AnchorError("X", "readable and finite", f"instance {index}: {why}", hint)
            features = x if network is None else _answer(network, x, is_model)
            parts.append(_rows(features, len(x), pooled=network is not None and not is_model))
            progress.update(len(x))
    return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)


def _answer(network: Any, x: Tensor, is_model: bool) -> Any:
    try:
        return Batch(network, x).code if is_model else network(x)
    except PXGenError:
        raise
    except Exception as error:  # whatever a foreign network raises
        allowed = f"callable on a batch of shape {tuple(x.shape)}"
        got = f"{type(error).__name__}: {str(error)[:300]}"
        hint = (
            "Give sample_shape as the network takes it, or a smaller batch_size if memory ran out."
        )
        raise ModelError("network", allowed, got, hint) from error


def _rows(features: Any, n: int, pooled: bool) -> NDArray[np.float32]:
    features = one_array("network", features, FEATURES)
    values = features if isinstance(features, Tensor) else torch.as_tensor(np.asarray(features))
    if values.ndim < 2 or len(values) != n:
        hint = "Return one row of features per instance."
        allowed = f"returning {n} rows of features"
        raise ParameterError("network", allowed, short_repr(features), hint)
    values = values.float()
    if pooled and values.ndim == 4:
        values = values.mean((2, 3))
    # a copy, because the elements themselves lie in a buffer that is used again
    rows: NDArray[np.float32] = values.flatten(1).cpu().numpy().copy()
    return rows
