"""What the adapters that weigh latent dimensions share: one anchor at a time, codes beside it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._anchors import AnchorReader
from pxgen_plugins.adapters._groups import by_group, group_names
from pxgen_plugins.adapters._latent_target import LatentTarget
from pxgen_plugins.adapters.base import NotFittedError, TargetAdapter
from pxgen_plugins.host import Explanation
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["LARGEST_SEED", "Codes", "LatentAdapter"]

LARGEST_SEED = 2**32
"""Seeds of numpy's legacy generators, which libraries draw from, are 32 bits wide."""
Codes = NDArray[np.float32]


@dataclass(repr=False, eq=False)
class LatentAdapter(TargetAdapter):
    """Base of the adapters that weigh latent dimensions by moving the code of one anchor at a time.

    A subclass implements ``_weigh`` and ``_tables``.

    Args:
        predictor: A model that can encode and decode.
        target: What is explained (see :class:`~pxgen_plugins.adapters.base.TargetAdapter`).
        n_background: Most codes that :meth:`fit` keeps, >= 2.
        seed: Seed of all draws; every anchor gets the same ones, so its result does not depend on
            its position.
        batch_size: Codes per model call.
        verbose: Show a progress bar over the anchors on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model cannot encode or decode, or the target needs more.
    """

    access = "latent"
    evidence = "latent_attribution"
    requires = frozenset({"encode", "decode"})

    target: Any = "kld"
    _: KW_ONLY
    n_background: int = 50

    def _check(self) -> None:
        super()._check()
        self.n_background = validation.integer(self.n_background, "n_background", minimum=2)
        self.background: Codes | None = None

    def fit(self, X: Any = None) -> LatentAdapter:
        """Keep the codes that perturbations are drawn around or compared with.

        Args:
            X: Data of the kind the model was trained on: their posterior means are kept,
                ``n_background`` of them, drawn with the seed. None draws from the prior N(0, I).

        Raises:
            AnchorError: When ``X`` does not fit the model or holds fewer than 2 usable anchors.
        """
        with self._call("fit"):
            self.background = self._prior() if X is None else self._means(X)
        return self

    def explain(  # type: ignore[override]  # the arguments of this adapter, by name
        self, X: Any, groups: Any = None
    ) -> Explanation:
        """Return weights of latent dimensions for every anchor.

        Args:
            X: Anchors, n of them: anything :func:`pxgen_plugins.anchors.open_anchors` reads.
            groups: Name of each anchor's group, n strings, to aggregate the weights by;
                None leaves the aggregate out.

        Raises:
            NotFittedError: Before :meth:`fit`.
            AnchorError: When the anchors do not fit the model, or the groups the anchors.
        """
        return super().explain(X, groups=groups)

    def _explain(self, X: Any, groups: Any = None) -> dict[str, Any]:
        if self.background is None:
            raise NotFittedError(type(self).__name__)
        reader = AnchorReader(X, self.predictor, self.batch_size)
        names = group_names(groups, len(reader))
        data, target = self._tables(len(reader)), self._target()
        usable = reader.usable()
        with bar(len(reader), type(self).__name__, "anchor", self.verbose) as progress:
            progress.update(len(reader.errors))
            for i in usable:
                function = LatentTarget(
                    target,
                    self.predictor,
                    reader.inputs([i]),
                    seed=self.seed,
                    batch_size=self.batch_size,
                )
                row = self._finite_row(function, self.background)
                if row is None:
                    reader.errors[int(i)] = "the target or a weight is not finite around its code"
                for key, value in (row or {}).items():
                    data[key][i] = value
                progress.update(1)
        return {
            **data,
            "target": target.label,
            "feature_names": self._names(),
            "groups": by_group(data["weights"], names),
            **reader.exclusions(),
        }

    def _finite_row(self, function: LatentTarget, background: Codes) -> dict[str, Any] | None:
        """Return what :meth:`_weigh` returns; None where a value or a weight is not finite."""
        try:
            row = self._weigh(function, background)
        except (ValueError, np.linalg.LinAlgError):
            if function.finite:
                raise
            return None  # the library refused NaN or infinity in its own words
        return row if function.finite and np.isfinite(row["weights"]).all() else None

    def _tables(self, n: int) -> dict[str, NDArray[Any]]:
        """Return the arrays of ``data`` with a row per anchor, filled as where there is no result.

        ``weights`` (n, number of features) is among them.
        """
        raise NotImplementedError

    def _weigh(self, function: LatentTarget, background: Codes) -> dict[str, Any]:
        """Return the rows of one anchor for the tables.

        Args:
            function: The target as a function of the anchor's code.
            background: What :meth:`fit` kept, (m, d).
        """
        raise NotImplementedError

    def _names(self) -> list[str]:
        return [f"z{j}" for j in range(self._dimension)]

    @property
    def _dimension(self) -> int:
        return int(np.prod(self.predictor.latent_shape))

    def _forget(self) -> None:
        self.background = None

    def _prior(self) -> Codes:
        rows = normal_rows(0, self.n_background, (self._dimension,), derive(self.seed, "prior"))
        codes: Codes = rows.numpy()
        return codes

    def _means(self, X: Any) -> Codes:
        reader = AnchorReader(X, self.predictor, self.batch_size)
        usable = reader.usable()
        if len(usable) < 2:
            hint = "Fit on data of the kind the model was trained on, or call fit() for the prior."
            raise AnchorError("X", "at least 2 finite anchors", str(len(usable)), hint)
        if len(usable) > self.n_background:
            rng = np.random.default_rng(derive(self.seed, "background"))
            usable = np.sort(rng.choice(usable, self.n_background, replace=False))
        return reader.features("latent", usable).astype(np.float32)
