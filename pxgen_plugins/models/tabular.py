"""Synthesizers of tables, as those of SDV and CTGAN: rows of numbers and categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.anchors.tables import BY_NAME, Columns
from pxgen_plugins.models._global_rng import seeded
from pxgen_plugins.models._table_anchors import open_table
from pxgen_plugins.models._table_columns import Column, Rows, columns_of, matrix
from pxgen_plugins.models._table_sampler import row_sampler, seeder
from pxgen_plugins.models.base import GenerativeModel, register
from pxgen_plugins.models.callables import expect_shape, method
from pxgen_plugins.models.runtime import EvaluationMode, Modules, modules_behind
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ModelError, ParameterError, caller, short_repr

__all__ = ["Tabular"]

_PROBES = 3


@register("tabular")
class Tabular(GenerativeModel):
    """A synthesizer of tables, explained by rows of a table.

    A row becomes float64 numbers: a column of numbers (booleans and dates count as such, dates in
    days since 1970) its values, a column of categories (object, string or category) its codes.
    Anchors are a DataFrame, a mapping of columns or the path of a .csv or .parquet file with the
    columns of ``like`` in any order; columns named label, labels or y and id or ids, where ``like``
    has none such, hold labels and ids, and so do levels of the index of these names. Numbers as
    :meth:`rows` gives them are anchors too.

    A missing value in a column of categories is a category of its own if ``like`` has any there.
    Any other missing value, a number that is not finite and a category that ``like`` lacks make a
    bad anchor: it is in no group, and the reason names the column. In what the model returns they
    are errors. Dates in text are of ISO 8601, or a column is of one other format: what fits several
    is refused. Integers beyond 2**53 and parts of a microsecond are lost, with a warning.

    Criteria: ``gower`` and ``gower_nearest`` mind ranges and categories. Those that compare
    numbers (``mse``, ``nearest_sample``, ``sample_rank``) do so in :meth:`features`, so that no
    unit of a column decides.

    Args:
        synthesizer: An object with ``sample(n)`` or ``sample(num_rows=n)`` to a DataFrame, or to a
            mapping with one. Columns that ``like`` lacks are not read. It is called with the global
            generators seeded; they are put back. A generator of its own is seeded by ``reseed``.
        like: A DataFrame that fixes columns, types, categories and ranges, as the training data
            without ids; it is not kept.
        encode: Function, or name of the synthesizer's method, from a DataFrame to codes (n, ...),
            or to mean and log variance of a posterior N(mean, exp(log_var)), a tuple of two;
            ndarrays or tensors.
        decode: Likewise, from codes, of the kind and type ``encode`` gives, to a DataFrame.
        reconstruct: Likewise, from a DataFrame to a DataFrame of as many rows, in place of
            ``decode``.
        log_prob: Likewise, from a DataFrame to log densities, nats, (n,).
        reseed: Callable that seeds the synthesizer's own generator with an integer below 2**32.
            None uses ``set_random_state`` or ``_set_random_state`` (CTGAN and SDV, whose
            ``reset_sampling`` is called first) where there is one.
        modules: The torch modules inside those functions (see :class:`~pxgen_plugins.models.VAE`).

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When a callable does not give what it should, or not the same samples for the
            same seed.

    Cost: a call of the synthesizer per block of samples, a few microseconds per value to convert.

    Example:
        >>> import numpy as np, pandas as pd
        >>> data = pd.DataFrame({"age": [20, 35, 60], "city": ["Rome", "Bern", "Rome"]})
        >>> class Bootstrap:
        ...     def sample(self, num_rows):
        ...         return data.sample(num_rows, replace=True)
        >>> model = Tabular(Bootstrap(), data)
        >>> model.sample(4, seed=0).shape, model.rows(data.head(2)).tolist()
        (torch.Size([4, 2]), [[20.0, 1.0], [35.0, 0.0]])
        >>> model.render(model.rows(data.head(1)))
        ['age=20, city=Rome']
    """

    dtype = torch.float64
    sample_shape: tuple[int, ...]

    @caller("Tabular")
    def __init__(
        self,
        synthesizer: Any,
        like: Any,
        *,
        encode: str | Callable[[Any], Any] | None = None,
        decode: str | Callable[[Any], Any] | None = None,
        reconstruct: str | Callable[[Any], Any] | None = None,
        log_prob: str | Callable[[Any], Any] | None = None,
        reseed: Callable[[int], Any] | None = None,
        modules: Modules = None,
    ) -> None:
        if not callable(getattr(synthesizer, "sample", None)):
            hint = "Pass the trained object itself, or one with a method sample(n)."
            allowed = "an object with sample(n) to a DataFrame"
            raise ParameterError("synthesizer", allowed, short_repr(synthesizer), hint)
        functions = {
            "encode": encode, "decode": decode, "reconstruct": reconstruct, "log_prob": log_prob,
        }  # fmt: skip
        self._functions = {
            role: method(synthesizer, f, role) for role, f in functions.items() if f is not None
        }
        if reseed is not None:
            reseed = validation.function(reseed, "reseed", "seed -> None")
        if decode is not None and (encode is None or reconstruct is not None):
            hint = "Pass encode and decode, or reconstruct."
            allowed = "given together with encode and without reconstruct"
            raise ParameterError("decode", allowed, short_repr(decode), hint)
        self.columns: tuple[Column, ...] = columns_of(like)
        self.sample_shape = (len(self.columns),)
        self._evaluating = EvaluationMode(modules_behind(self._functions, modules, synthesizer))
        self._draw, self._reseed = row_sampler(synthesizer), reseed or seeder(synthesizer)
        self.capabilities = frozenset({"sample"})
        self._find_capabilities(self.rows(like.head(_PROBES)))

    @caller("Tabular")
    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` rows of the synthesizer, float64 (n, d).

        Raises:
            ModelError: When it raises or does not give n rows with the columns of ``like``.
        """
        with seeded(seed):
            if self._reseed is not None:
                self._reseed(seed % 2**32)
            with torch.no_grad():
                rows = self._draw(n)
        return self._table(rows, n, "sample")

    @caller("Tabular")
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior, float64 (n, *latent_shape) each."""
        if "encode" not in self.capabilities:
            raise self._refusal("encode")
        mean, log_var = (self._codes(part, len(x)) for part in self._call("encode", self.frame(x)))
        return mean, log_var

    @caller("Tabular")
    def embed(self, x: Tensor) -> Tensor:
        """Return the codes, or posterior means, float64 (n, *latent_shape)."""
        if "embed" not in self.capabilities:
            raise self._refusal("embed")
        codes = self._call("encode", self.frame(x))
        return self._codes(codes[0] if isinstance(codes, tuple) else codes, len(x))

    @caller("Tabular")
    def decode(self, z: Tensor) -> Tensor:
        """Return the rows behind codes ``z`` of shape (n, *latent_shape), float64 (n, d).

        Those with a gap or an unknown category are NaN.
        """
        if "decode" not in self._functions:
            raise self._refusal("decode")
        like = self._code
        codes = z.detach().to(like.device, like.dtype)
        back = self._call("decode", codes.cpu().numpy() if self._arrays else codes)
        return self._table(back, len(z), "decode")

    @caller("Tabular")
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the rows that the model makes of ``x``, float64 (n, d); see ``decode``."""
        if "reconstruct" not in self.capabilities:
            raise self._refusal("reconstruct")
        if "decode" in self._functions:
            return self.decode(self.embed(x))
        back = self._call("reconstruct", self.frame(x))
        return self._table(back, len(x), "reconstruct")

    @caller("Tabular")
    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density of each row, nats, float64 (n,)."""
        if "log_prob" not in self._functions:
            raise self._refusal("log_prob")
        density = self._tensor("log_prob", self._call("log_prob", self.frame(x)))
        hint = "Return one log density per row."
        density = expect_shape(density, (len(x),), "log_prob's result", hint)
        return density.to(self.device, self.dtype)

    def open_anchors(self, X: Any, named: Columns = BY_NAME) -> Any:
        """Return the anchors in a table, or ``X`` as it is if it is none.

        Args:
            X: See above.
            named: The columns that the user named, of which those of anchors must be the model's.

        Raises:
            AnchorError: When columns are missing or unknown, or the file cannot be read.
        """
        return open_table(X, self.columns, named)

    @caller("Tabular.rows")
    def rows(self, X: Any) -> Tensor:
        """Return a table as numbers, float64 (n, d); bad rows are NaN.

        Args:
            X: What :meth:`open_anchors` takes.

        Raises:
            AnchorError: When it is no table, or has other columns.
        """
        anchors = self.open_anchors(X)
        if not isinstance(anchors, Rows):
            hint = "Pass a DataFrame, a mapping of columns or the path of a .csv or .parquet file."
            raise AnchorError("X", "a table", short_repr(X), hint)
        numbers, failed = anchors.read(slice(None))
        numbers[list(failed)] = np.nan
        return torch.from_numpy(numbers)

    @caller("Tabular.frame")
    def frame(self, x: Tensor) -> Any:
        """Return rows of numbers as a DataFrame with the columns and types of ``like``.

        Integers are rounded, codes go to the nearest category.

        Raises:
            AnchorError: When ``x`` is not of shape (n, d), or not finite.
        """
        import pandas as pd

        shaped = x.ndim == 2 and x.shape[1] == len(self.columns)
        if not shaped or not bool(x.isfinite().all()):
            allowed = f"finite, of shape (n, {len(self.columns)})"
            hint = "Pass rows of numbers, as from rows or sample."
            got = "NaN or infinity" if shaped else short_repr(x)
            raise AnchorError("x", allowed, got, hint)
        numbers = x.detach().cpu().double().numpy()
        return pd.DataFrame(
            {column.name: column.to_series(numbers[:, i]) for i, column in enumerate(self.columns)}
        )

    def render(self, x: Tensor) -> list[str]:
        """Return a line for each row, as ``"age=20, city=Rome"``."""
        table = self.frame(x)
        shown = [[f"{name}={_cell_text(value)}" for value in table[name]] for name in table.columns]
        return [", ".join(parts) for parts in zip(*shown, strict=True)]

    def features(self, x: Tensor) -> Tensor:
        """Return rows so that Euclidean distances mind ranges and categories, (n, f).

        Numbers are divided by the column's range, categories are one-hot over the root of 2, so
        two different ones are at distance 1. Criteria and ``space="pixel"`` measure in them.
        """
        parts = []
        for place, column in enumerate(self.columns):
            value = x[:, place]
            if column.categories is None:
                parts.append((value / (column.width or 1.0))[:, None])
            else:
                codes = torch.arange(len(column.categories), device=x.device)
                same = (value[:, None] == codes).to(x.dtype) + 0.0 * value[:, None]
                parts.append(same / 2.0**0.5)
        return torch.cat(parts, 1)

    def _find_capabilities(self, x: Tensor) -> None:
        """Find out what the callables give, and whether samples repeat."""
        able = {"sample"} | ({"log_prob"} & set(self._functions))
        if "encode" in self._functions:
            codes = self._call("encode", self.frame(x))
            pair = isinstance(codes, tuple)
            if pair and len(codes) != 2:
                hint = "Return codes, or a tuple (mean, log_var)."
                got = f"a tuple of {len(codes)}"
                raise ModelError("encode's result", "codes or a pair", got, hint)
            first = codes[0] if pair else codes
            self._arrays = not isinstance(first, Tensor)
            self._code = self._tensor("encode", first)
            if self._code.ndim < 2 or len(self._code) != len(x):
                hint = "Return one vector per row of the table."
                allowed = f"codes of shape ({len(x)}, d)"
                raise ModelError("encode's result", allowed, short_repr(first), hint)
            self.latent_shape = tuple(self._code.shape[1:])
            able |= {"embed", "encode"} if pair else {"embed"}
            self.autoencodes = "decode" in self._functions
        if "decode" in self._functions:
            able |= {"decode", "reconstruct"}
        self.capabilities = frozenset(able | ({"reconstruct"} & set(self._functions)))
        if "reconstruct" in self.capabilities and bool(self.reconstruct(x).isnan().all()):
            hint = "Fill gaps, or pass a like that has all categories."
            allowed, got = "complete and of known categories", "no such row"
            raise ModelError("the reconstruction", allowed, got, hint)
        if "log_prob" in able:
            self.log_prob(x)
        if not torch.equal(self.sample(_PROBES, 1), self.sample(_PROBES, 1)):
            allowed = "repeatable: the same rows for the same seed"
            hint = "It has a generator of its own: pass reseed=f with f(seed) to seed it."
            raise ModelError("synthesizer", allowed, "others the second time", hint)

    def _call(self, role: str, given: Any) -> Any:
        with torch.no_grad(), self._evaluating():
            try:
                return self._functions[role](given)
            except Exception as error:  # whatever a foreign function raises
                got = f"{type(error).__name__}: {str(error)[:300]}"
                hint = "Call it by hand on model.frame(x) to find the cause."
                takes = "codes" if role == "decode" else "a DataFrame like the reference"
                raise ModelError(role, f"a function of {takes}", got, hint) from error

    def _tensor(self, role: str, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return value
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            hint = "Return an ndarray or a tensor."
            raise ModelError(f"{role}'s result", "numbers", short_repr(value), hint)
        return torch.tensor(array)

    def _codes(self, value: Any, n: int) -> Tensor:
        shape = (n, *(self.latent_shape or ()))
        hint = "Return one vector per row of the table, of one length."
        codes = expect_shape(self._tensor("encode", value), shape, "encode's result", hint)
        return codes.to(self.device, self.dtype)

    def _table(self, table: Any, n: int, role: str) -> Tensor:
        import pandas as pd

        what = f"{role}'s result"
        if isinstance(table, Mapping) and len(table) == 1:  # as SDV 2 gives it, by the table's name
            table = next(iter(table.values()))
        names = [column.name for column in self.columns]
        good = isinstance(table, pd.DataFrame) and len(table) == n
        if not good or any(name not in table.columns for name in names):
            got = type(table).__name__
            if isinstance(table, pd.DataFrame):
                got = f"{len(table)} rows of {short_repr(list(table.columns))}"
            hint = "Wrap it so that it returns such a DataFrame, or correct like."
            allowed = f"a DataFrame of {n} rows with the columns {short_repr(names)}"
            raise ModelError(what, allowed, got, hint)
        numbers, failed = matrix(table.reset_index(drop=True), self.columns)
        if failed and role in {"decode", "reconstruct"}:  # of these rows, not of the model
            numbers[list(failed)] = np.nan
        elif failed:
            row, why = next(iter(failed.items()))
            hint = "Fill gaps, or pass a like that has all categories."
            got = f"{len(failed)} of {n} rows that are not, row {row}: {why}"
            raise ModelError(what, "complete and of known categories", got, hint)
        return torch.from_numpy(numbers)

    def __repr__(self) -> str:
        kinds: Sequence[bool] = [column.categorical for column in self.columns]
        return f"Tabular({len(kinds)} columns, {sum(kinds)} of categories)"


def _cell_text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
