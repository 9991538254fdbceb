"""What the direction adapters share: codes, the measurement of axes, and its control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.adapters._codes import can_draw, codes_of, draw_codes
from pxgen_plugins.adapters.base import Adapter
from pxgen_plugins.adapters.directions._assessors import (
    Assessor,
    assessors_of,
    standardise,
)
from pxgen_plugins.adapters.directions._fields import DEFAULT_DATA_DIRECTIONS
from pxgen_plugins.adapters.directions._response import (
    Floats,
    Response,
    frames,
    leakage,
    means,
    random_axes,
    tables,
    walk,
)
from pxgen_plugins.axes import KEEPS, Axis, keep_for
from pxgen_plugins.criteria import for_model, make
from pxgen_plugins.models import capabilities
from pxgen_plugins.scoring import Scorer, fit_criteria
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.progress import bar_or_notice
from pxgen_plugins.utils.seeds import derive

__all__ = ["DirectionAdapter"]

_REALISM = ("discriminator", "nearest_sample")  # what realism="auto" takes, in this order
_BAND = (0.05, 0.95)  # of the mean response over random directions
_SCALED = 500  # codes that standard deviations of assessors come from


@dataclass(repr=False, eq=False)
class DirectionAdapter(Adapter):
    """What all direction adapters share: arguments, and the fields of what ``explain`` returns.

    A method finds axes through latent space; all are measured in one way, on codes that they were
    not found on, beside random directions of the same length. (A subclass implements ``_find``,
    which returns axes, and may hold further arguments.)

    **Free and shell.** A step of amount a moves a code z to z + a * strength * direction. With
    ``keep="free"`` this is the way, a straight line. Codes of N(0, I) in many dimensions lie close
    to a sphere around 0, a shell, and a long straight way leaves it for codes that the model was
    never trained on; with ``keep="shell"`` every moved code is therefore scaled back to the norm
    that z had.

    Args:
        predictor: A model that can decode.
        assessors: What is read off the instances along every axis: a mapping from labels to
            assessors, a list, or one. An assessor is a criterion's name, mapping or object,
            ``"latent[j]"``, ``"pixel[...]"``, or a callable from a batch of instances
            (b, *sample_shape) to (b,).
        span: Steps each way, > 0.
        n_frames: Amounts between -span and span, odd, >= 3.
        n_codes: Codes that directions are found on, and as many others that they are measured on.
        n_shown: Codes whose strips are kept as images, >= 0.
        n_random: Random directions of the control, >= 1. No p-value is below 1 / (n_random + 1),
            not even that of a perfect direction: 0.05 by default. Take 199 to test ten directions.
        keep: ``"free"``, ``"shell"``, or None for what fits the prior: ``"shell"`` for N(0, I) in
            16 dimensions or more.
        realism: A criterion that tells how real instances are, measured along the way: a name, a
            mapping or an object; ``"auto"`` takes the discriminator where there is one, else the
            distance to the nearest sample; None for none.
        seed: Seed of codes and random directions, >= 0.
        batch_size: Codes per model call, >= 1.
        verbose: Show progress bars on stderr. Without them a warning says how much is left where
            that is more than half a minute.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model cannot decode, or draw or embed codes.

    ``explain(X)`` starts from the codes of the anchors in X, ``explain(None)`` from codes that the
    model draws; axes that :meth:`fit` has not found are found first.

    What it returns has these fields, for k directions, m assessors, s amounts, a strips and r
    random directions. Values of assessors are in standard deviations over the model's instances.
    A field that could not be measured is None.

    The directions:

    - ``directions``, float32 (k, *latent_shape): unit vectors.
    - ``labels``, k texts: their names.
    - ``strength``, float64 (k,): length of one step in latent space.
    - ``keep``, text: ``"free"`` or ``"shell"``, as above.
    - ``importance``, float64 (k,): what the directions are ordered by; ``importance_name`` says
      what that is. None where they are in no order.
    - ``own``, int64 (k,): position of the assessor that the direction was made for; -1 for none.

    Their pictures:

    - ``amounts``, float64 (s,): steps along an axis, with 0 in the middle.
    - ``images``, float32 (k, a, s, *sample_shape): instances along every axis, from a codes.
    - ``codes``, float32 (a, *latent_shape): these codes.
    - ``anchors``, int64 (a,): the anchors whose codes they are; None where codes were drawn.

    What is read off along them:

    - ``assessors``, m texts: names of the assessors.
    - ``slope``, float64 (k, m): rise per step, by regression through 0 over all codes.
    - ``r2``, float64 (k, m): share of the variance of the rise that the slope explains.
    - ``monotone``, float64 (k, m): share of codes for which the value rises strictly at every step
      (falls, where the slope is negative). A value that stays the same for one step, as at a floor,
      counts against it.
    - ``ends``, float64 (k, m): share of codes whose value at the last amount lies above that at
      the first (below, where the slope is negative).
    - ``p_value``, float64 (k, m): share of the random directions, and of this one among them, whose
      slope is at least as steep; so 1 / (r + 1) is the least possible.
    - ``response``, float64 (k, m, s): mean rise over codes, against amount 0. The own assessor of
      an AssessorDirection is asked to rise by one a step.
    - ``response_spread``, float64 (k, m, s, 2): 10% and 90% quantiles of the rise over codes.
    - ``leakage``, float64 (k,): steepest slope of the other assessors; NaN without any.
    - ``change``, float64 (k, s): mean absolute change of the instance, in units of the data.
    - ``realism``, float64 (k, s): by how much less real instances are than at 0, by the criterion
      ``realism_name``; higher is less real.

    The control, the same for random directions of the same step length:

    - ``control_slope``, ``control_monotone``, ``control_ends``, float64 (k, r, m): one number for
      every random direction and every assessor, so that a mean over all of them mixes assessors;
      :func:`~pxgen_plugins.result.direction_table` takes each direction's own.
    - ``control_response``, float64 (k, m, s, 2): 5% and 95% quantiles of their mean responses.
    - ``control_change``, ``control_realism``, float64 (k, s): means over them.

    What it was measured on:

    - ``n_codes``, int: how many codes.
    - ``invalid``, int64, and ``reasons``, texts: anchors that were left out, and why.
    - ``evidence``: ``"directions"``.

    Cost of ``explain``: (k + n_random for every step length) n_codes n_frames passes of decoder,
    assessors and ``realism``, and 500 for their standard deviations. The control is most of it: by
    default one direction takes 1,400 passes, and its 19 random directions 26,600.
    """

    evidence = "directions"
    access = "latent"
    requires = frozenset({"decode"})
    scope: ClassVar[list[str]] = ["global"]
    learns_from: ClassVar[str] = ""  # axes are the model's: a comparison's anchors move no axis
    target_argument: ClassVar[str] = "assessors"
    defaults: ClassVar[Mapping[str, Any]] = DEFAULT_DATA_DIRECTIONS
    importance_name: ClassVar[str | None] = None

    _: KW_ONLY
    assessors: Any = None
    span: float = 2.0
    n_frames: int = 7
    n_codes: int = 200
    n_shown: int = 3
    n_random: int = 19
    keep: str | None = None
    realism: Any = "auto"

    def _check(self) -> None:
        super()._check()
        self.span = validation.real(self.span, "span", above=0.0)
        self.n_frames = validation.integer(self.n_frames, "n_frames", minimum=3)
        if self.n_frames % 2 == 0:
            hint = "Take one more, so that the middle one is the code itself."
            raise ParameterError("n_frames", "odd", str(self.n_frames), hint)
        self.n_codes = validation.integer(self.n_codes, "n_codes", minimum=2)
        self.n_shown = validation.integer(self.n_shown, "n_shown", minimum=0)
        self.n_random = validation.integer(self.n_random, "n_random", minimum=1)
        if self.keep is not None:
            self.keep = validation.choice(self.keep, "keep", KEEPS)
        self.axes: list[Axis] | None = None
        self.importance: Floats | None = None

    def _check_model(self, model: Any) -> None:
        assessors_of(self.assessors, model, self.seed)
        if self.realism not in ("auto", None):
            make(self.realism, "realism").check(model)

    def _forget(self) -> None:
        self.axes = self.importance = None

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors, axes found first."""
        codes = min(n, self.n_codes)
        walks = (self._most() + self.n_random) * codes * self.n_frames
        looks = walks * (self.assessors is not None)  # each assessor, at every instance on the way
        return {"embed": codes, "decode": walks + _SCALED, "target": looks}

    def _most(self) -> int:
        """Return about how many axes there will be."""
        return int(getattr(self, "_count", 1))

    def _params(self) -> dict[str, Any]:
        params = super()._params()
        model = self.predictor
        if model is not None:
            given = assessors_of(self.assessors, model, self.seed)
            params["assessors"] = [assessor.label for assessor in given]
        elif self.assessors is not None:
            params["assessors"] = short_repr(self.assessors)
        params["realism"] = (
            self.realism
            if isinstance(self.realism, str)
            else (None if self.realism is None else short_repr(self.realism))
        )
        return params

    def fit(self, X: Any = None) -> DirectionAdapter:
        """Find the axes.

        Args:
            X: Instances whose codes are taken; None draws codes as the model draws them.

        Raises:
            CapabilityError: When the model cannot embed ``X``, or cannot draw codes.
        """
        with self._call("fit"):
            self._fit(X)
        return self

    def _fit(self, X: Any) -> None:
        found = self._find(self._fitting_codes(X))
        self.axes, self.importance = found

    def _fitting_codes(self, X: Any) -> Tensor:
        if X is None:
            return draw_codes(self.predictor, self.n_codes, derive(self.seed, "fit"))
        codes, _, _ = codes_of(X, self.predictor, self.batch_size)
        if len(codes) < 2:
            hint = "Give more instances, or None."
            raise ParameterError("X", "at least two finite instances", str(len(codes)), hint)
        return codes

    def _find(self, z: Tensor) -> tuple[list[Axis], Floats | None]:
        """Return the axes, most important first, and their importance.

        Args:
            z: Codes, (n, *latent_shape), on the CPU.
        """
        raise NotImplementedError

    def _own(self, k: int) -> list[int]:
        """Return the position of the assessor that each axis was made for, -1 for none."""
        return [-1] * k

    def _starts(self, axes: Sequence[Axis], z: Tensor) -> list[Tensor]:
        """Return the codes that each axis is measured on: all, unless it was made for some."""
        return [z] * len(axes)

    def _assessors(self) -> list[Assessor]:
        """Return the assessors whose response is measured."""
        return assessors_of(self.assessors, self.predictor, self.seed)

    def _keep(self) -> str:
        return keep_for(self.keep, self.predictor)

    def _explain(self, X: Any) -> dict[str, Any]:
        if self.axes is None:
            self._fit(None)
        axes = self.axes or []
        exclusions: dict[str, Any] = {}
        anchors = None
        if X is None:
            z = draw_codes(self.predictor, self.n_codes, derive(self.seed, "report"))
        else:
            z, anchors, reader = codes_of(X, self.predictor, self.batch_size, self.n_codes)
            exclusions = reader.exclusions()
        amounts = np.linspace(-self.span, self.span, self.n_frames)
        amounts[self.n_frames // 2] = 0.0
        shown = z[: self.n_shown]
        measures = self._measure(axes, z, amounts) if len(z) else {}
        return {
            "directions": np.stack([axis.vector for axis in axes]),
            "labels": [axis.label for axis in axes],
            "strength": np.array([axis.scale for axis in axes]),
            "importance": self.importance,
            "importance_name": self.importance_name,
            "keep": self._keep(),
            "amounts": amounts,
            "images": frames(self.predictor, axes, shown, amounts, self.batch_size)
            if len(shown)
            else None,
            "codes": shown.numpy(),
            "anchors": None if anchors is None else anchors[: self.n_shown],
            "own": np.array(self._own(len(axes)), dtype=np.int64),
            "n_codes": len(z),
            **measures,
            **exclusions,
        }

    def _measure(self, axes: Sequence[Axis], z: Tensor, amounts: Floats) -> dict[str, Any]:
        """Return the response along the axes and along random ones of the same length."""
        model = self.predictor
        realism = self._realism()
        readers = self._scaled([*self._assessors(), *([] if realism is None else [realism])], z)
        m = len(readers) - (realism is not None)
        starts = self._starts(axes, z)
        # axes of one length that start from the same codes share their control
        alike = {(axis.scale, id(start)): (axis, start)
                 for axis, start in zip(axes, starts, strict=True)}  # fmt: skip
        walked = sum(map(len, starts)) + self.n_random * sum(len(one) for _, one in alike.values())
        with self._progress(
            walked * len(amounts), "explain", "code", "n_codes, n_random or n_frames"
        ) as update:

            def along(axis: Axis, start: Tensor) -> Response:
                return walk(model, axis, readers, start, amounts, self.batch_size, update)

            own = [along(axis, start) for axis, start in zip(axes, starts, strict=True)]
            random = {
                key: [along(one, start) for one in random_axes(axis, self.n_random, self.seed)]
                for key, (axis, start) in alike.items()
            }
        controls = [random[axis.scale, id(start)] for axis, start in zip(axes, starts, strict=True)]
        table = tables(own, m, amounts)
        control = [tables(one, m, amounts) for one in controls]
        steep = np.stack([one["slope"] for one in control])  # (k, r, m)
        # a control without a number counts as steeper, and what has none itself has no p-value
        at_least = (~(np.abs(steep) < np.abs(table["slope"])[:, None])).sum(axis=1)
        p_value = np.where(np.isnan(table["slope"]), np.nan, (1 + at_least) / (1 + self.n_random))
        return {
            "assessors": [reader.label for reader in readers[:m]],
            **table,
            "p_value": p_value,
            "leakage": leakage(table["slope"], self._own(len(axes))),
            "realism": None if realism is None else means(own)[:, m],
            "realism_name": None if realism is None else realism.label,
            "control_slope": steep,
            "control_monotone": np.stack([one["monotone"] for one in control]),
            "control_ends": np.stack([one["ends"] for one in control]),
            "control_response": np.stack(
                [np.quantile(means(one)[:, :m], _BAND, axis=0) for one in controls]
            ).transpose(0, 2, 3, 1),
            "control_change": np.stack([one["change"].mean(axis=0) for one in control]),
            "control_realism": None
            if realism is None
            else np.stack([means(one)[:, m].mean(axis=0) for one in controls]),
        }

    def _progress(
        self, total: int, method: str, unit: str, cheaper: str
    ) -> AbstractContextManager[Callable[[int], object]]:
        """Return a bar if ``verbose``, else what says so where much is left."""
        what, hint = f"{type(self).__name__}.{method}", f"Smaller {cheaper} cost less."
        return bar_or_notice(total, what, unit, self.verbose, hint)

    def _scaled(self, readers: Sequence[Assessor], z: Tensor) -> list[Assessor]:
        """Return the assessors in standard deviations over instances of the model.

        Of codes that it draws; of ``z`` where it draws none.
        """
        if not readers:
            return []
        model = self.predictor
        if can_draw(model):
            z = draw_codes(model, _SCALED, derive(self.seed, "scale"))
        values: list[list[Tensor]] = [[] for _ in readers]
        with torch.no_grad():
            for part in torch.split(z, self.batch_size):
                x = model.decode(part.to(model.device, model.dtype))
                for column, reader in zip(values, readers, strict=True):
                    column.append(reader(x).double().cpu())
        return [
            standardise(reader, torch.cat(column))
            for reader, column in zip(readers, values, strict=True)
        ]

    def _realism(self) -> Assessor | None:
        """Return the criterion that tells how real an instance is, as an assessor."""
        model, given = self.predictor, self.realism
        if given == "auto":
            able = for_model(model) if "sample" in capabilities(model) else []
            given = next((name for name in _REALISM if name in able), None)
        if given is None:
            return None
        criterion = make(given, "realism")
        scorer = Scorer(model, [criterion], batch_size=self.batch_size)
        fit_criteria(scorer, None, derive(self.seed, "realism"))
        (assessor,) = assessors_of([criterion], model, self.seed)
        return assessor
