"""What an explainer uses where nothing is asked for: by what a model can do and what it costs.

The tables here are those of ``docs/models.md``: for each kind of criterion, and for thresholds, the
first row that fits a model is taken. They were chosen by what tells a trained model's own kind from
others (``docs/results/families.md``), and so that nothing takes hundreds of passes an instance
unless it is asked for by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pxgen_plugins import thresholds
from pxgen_plugins.criteria.base import REGISTRY, Criterion, Kind, for_model
from pxgen_plugins.criteria.parsing import as_list, parse
from pxgen_plugins.criteria.passes import value_passes
from pxgen_plugins.models.base import CHEAP, Model, capabilities, own_features, passes
from pxgen_plugins.models.predictor import is_function
from pxgen_plugins.models.trial import operations
from pxgen_plugins.thresholds import Conformal, MeanMax, Quantile, Rule
from pxgen_plugins.utils.errors import CapabilityError

__all__ = ["CRITERIA", "RULES", "Choice", "CriterionRow", "RuleRow", "choose"]

_PAPER: dict[Kind, str] = {"intrinsic": "kld", "extrinsic": "mse"}
_BUDGET = 5_000  # passes of a calibration by default, within the two limits
_PASS = 1e8  # multiplications from which a pass counts as more than one
_LEAST, _MOST = 300, 2_500  # samples of a calibration by default
_REPEATS = 5  # so few still show how firmly a threshold stands
_EACH = 10_000  # samples of each where they cost next to nothing
_BANK, _LEAST_BANK = 1_000, 100  # samples that a criterion compares with


class Abilities:
    """What a model can do, as the rows of the tables ask for it."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.have = capabilities(model)
        self.table = own_features(model) is not None

    def can(self, *names: str) -> bool:
        """Return whether the model declares all of ``names``."""
        return self.have.issuperset(names)

    def cheaply(self, name: str) -> bool:
        """Return whether it can, in few passes or in no more than a sample takes."""
        most = max(CHEAP, passes(self.model, "sample") if self.can("sample") else 0)
        return name in self.have and passes(self.model, name) <= most

    @cached_property
    def weight(self) -> float:
        """How many passes of usual size one of the model's is; 1 for all small networks."""
        return max(1.0, operations(self.model) / _PASS)


@dataclass(frozen=True)
class CriterionRow:
    """A row of the table of criteria.

    Attributes:
        criterion: Registered name.
        when: For which models, in words.
        why: Why it, a sentence's end.
        fits: What ``when`` says beyond what the criterion itself needs of a model.
    """

    criterion: str
    when: str
    why: str
    fits: Callable[[Abilities], bool] = field(default=lambda able: True, repr=False)


@dataclass(frozen=True)
class RuleRow:
    """A row of the table of threshold rules.

    Attributes:
        rule: The rule, in words.
        when: For which models and criteria, in words.
        why: Why it, a sentence's end.
    """

    rule: str
    when: str
    why: str


CRITERIA: dict[Kind, tuple[CriterionRow, ...]] = {
    "intrinsic": (
        CriterionRow(
            "sample_rank",
            "is of a table",
            "rows are compared with samples in the table's own features, whatever the units",
            lambda a: a.table,
        ),
        CriterionRow(
            "kld",
            "encodes to a posterior",
            "the paper's, for models with a posterior",
        ),
        CriterionRow(
            "code_usage",
            "has a codebook",
            "the codebook is the latent space, and rare entries tell strangers",
        ),
        CriterionRow(
            "typical_nll",
            "has a density",
            "a density is exact, and its distance to the usual one tells plain strangers, too",
        ),
        CriterionRow(
            "denoising_loss",
            "denoises",
            "it takes ten passes, an inversion to the noise over a hundred, and says less",
        ),
        CriterionRow(
            "token_nll",
            "scores tokens",
            "the likelihood of a text takes one pass and tells shuffled words",
        ),
        CriterionRow(
            "aggregate_mahalanobis",
            "embeds cheaply",
            "codes are compared with the codes that the model decodes",
            lambda a: a.cheaply("embed"),
        ),
        CriterionRow(
            "sample_rank",
            "samples",
            "an anchor is compared with samples; codes are not at hand, or only by inversion, and "
            "a discriminator takes some strangers for real",
        ),
        CriterionRow("discriminator", "scores", "there is no other"),
        CriterionRow(
            "aggregate_mahalanobis",
            "embeds, but does not sample",
            "there is no other; each code takes many passes",
        ),
    ),
    "extrinsic": (
        CriterionRow(
            "gower",
            "is of a table and reconstructs",
            "Gower's distance minds ranges and categories",
            lambda a: a.table and a.cheaply("reconstruct"),
        ),
        CriterionRow(
            "gower_nearest",
            "is of a table",
            "Gower's distance minds ranges and categories, and a sample stands in for a "
            "reconstruction",
            lambda a: a.table,
        ),
        CriterionRow(
            "mse",
            "encodes to a posterior and decodes",
            "the paper's, for models with a posterior",
            lambda a: a.can("encode", "decode"),
        ),
        CriterionRow(
            "token_edit",
            "continues texts",
            "a text's end is compared with the model's own",
        ),
        CriterionRow(
            "nearest_sample",
            "has a density, and samples",
            "a model with a density reconstructs everything exactly, or nothing",
            lambda a: a.can("log_prob"),
        ),
        CriterionRow(
            "fvu",
            "reconstructs cheaply, values in a range",
            "the share of an anchor's own variance that is lost: plain pictures have to earn it",
            lambda a: a.cheaply("reconstruct"),
        ),
        CriterionRow(
            "mse",
            "reconstructs cheaply",
            "the error of the reconstruction",
            lambda a: a.cheaply("reconstruct"),
        ),
        CriterionRow(
            "nearest_sample",
            "samples",
            "a sample stands in for a reconstruction, of which there is none, or only by inversion",
        ),
        CriterionRow(
            "mse",
            "reconstructs, but does not sample",
            "there is no other; each reconstruction takes many passes",
        ),
    ),
}
"""Criteria by kind, best first: the first row that fits a model is taken."""

RULES: tuple[RuleRow, ...] = (
    RuleRow(
        'Conformal(0.05, source="reference", joint=True)',
        "does not sample",
        "thresholds can only come from data: fit(X) needs held-out instances",
    ),
    RuleRow(
        "MeanMax(1_000, 100)",
        "encodes to a posterior, and is no table",
        "the paper's rule, in the sizes whose seed moves groups least",
    ),
    RuleRow(
        f"Quantile(0.99, {_EACH:_}, {_REPEATS})",
        "is of a table, or embeds and decodes cheaply and has no density",
        "samples cost next to nothing, and groups move least with the seed",
    ),
    RuleRow(
        f"Quantile(0.99, n, {_REPEATS})",
        f"does none of this; {_REPEATS} n is {_MOST:,}, less where that takes over {_BUDGET:,} "
        f"passes of {_PASS / 1e6:.0f} million multiplications, and {_LEAST} at least",
        "its thresholds hardly move with the size, so that the size follows the cost",
    ),
)
"""Threshold rules, in the order in which they are tried."""


@dataclass(frozen=True)
class Choice:
    """What an explainer uses.

    Attributes:
        criteria: Intrinsic criteria followed by extrinsic ones.
        threshold: The rule.
        reasons: A sentence for each argument that was not given, by its name.
    """

    criteria: list[Criterion]
    threshold: Rule
    reasons: dict[str, str]


def choose(
    model: Any, intrinsic: Any = None, extrinsic: Any = None, threshold: Any = None
) -> Choice:
    """Return criteria and rule: those given, and by the tables above where None is.

    Args:
        model: A model, or a function of the anchors (a ``BlackBox``, too), whose columns are
            named as the paper's criteria by default.
        intrinsic: As for :class:`~pxgen_plugins.PXGen`; None chooses.
        extrinsic: Likewise.
        threshold: Likewise.

    Raises:
        CapabilityError: When no criterion of a kind fits the model.
        ParameterError: When a given argument is not allowed.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> choice = choose(LinearModel(), extrinsic="ssim")
        >>> choice.criteria, choice.threshold.n_repeats
        ([KLD(), SSIM(...)], 100)
        >>> choice.reasons["intrinsic"]
        "kld: the paper's, for models with a posterior"
    """
    specs: dict[Kind, Any] = {"intrinsic": intrinsic, "extrinsic": extrinsic}
    able = Abilities(model)
    function = is_function(model) or _names_columns(model, specs)
    known = isinstance(model, Model) and not function
    reasons: dict[str, str] = {}
    for kind, paper in _PAPER.items():
        if specs[kind] is None and not known:  # a function, or what no explainer takes
            specs[kind] = paper
            reasons[kind] = f"{paper}: the name of the column, as in the paper"
        elif specs[kind] is None:
            row = _row(kind, able)
            specs[kind] = _sized(row.criterion, able)
            reasons[kind] = f"{row.criterion}: {row.why}"
    criteria = parse(specs["intrinsic"], specs["extrinsic"], function)
    if threshold is not None:
        return Choice(criteria, thresholds.make(threshold), reasons)
    rule, why = _rule(able, criteria) if known else (MeanMax(), RULES[1].why)
    reasons["threshold"] = f"{_text(rule)}: {why}"
    return Choice(criteria, rule, reasons)


def _names_columns(model: Any, specs: Mapping[Kind, Any]) -> bool:
    """Return whether criteria are the values of a wrapped function, and what is given their names.

    Who wraps a function of two values means these, not what samples alone would say. A name of a
    criterion that the model can serve means that criterion.
    """
    if "values" not in capabilities(model):
        return False
    for kind, spec in specs.items():
        for one in as_list(spec) if spec is not None else ():
            name = one.get("name") if isinstance(one, Mapping) and set(one) == {"name"} else one
            if not isinstance(name, str) or name in for_model(model, kind):
                return False
    return True


def _row(kind: Kind, able: Abilities) -> CriterionRow:
    model = able.model
    usable = for_model(model, kind)
    for row in CRITERIA[kind]:
        if row.criterion in usable and row.fits(able):
            return row
    article = "an" if kind[0] in "ei" else "a"
    hint = f"Name one, {kind}=..., of those that work with it: " + ", ".join(usable) + "."
    if not usable:
        rows = [REGISTRY.get(row.criterion) for row in CRITERIA[kind]]
        needed = sorted({name for criterion in rows for name in criterion.requires})
        hint = "Give the model one of these: " + ", ".join(needed) + "."
    allowed = f"able to do something that {article} {kind} criterion by default asks for"
    got = f"a {type(model).__name__} that can {', '.join(sorted(able.have)) or 'do nothing'}"
    raise CapabilityError("model", allowed, got, hint)


def _sized(name: str, able: Abilities) -> Any:
    """Return a criterion's settings, with a smaller bank where samples are few or costly."""
    model = able.model
    takes = inspect.signature(REGISTRY.get(name)).parameters
    if "n_fit" not in takes or not able.can("sample"):
        return name
    affordable = int(_BUDGET / 4 / (passes(model, "sample") * able.weight))
    n = max(_LEAST_BANK, min(_BANK, affordable))
    held = getattr(model, "n_held", None)
    n = n if held is None else min(n, held // 2)
    return name if n == _BANK else {"name": name, "n_fit": n}


def _rule(able: Abilities, criteria: Sequence[Criterion]) -> tuple[Rule, str]:
    model = able.model
    if not able.can("sample"):
        return Conformal(0.05, source="reference", joint=True), RULES[0].why
    if able.can("encode") and not able.table:
        return MeanMax(), RULES[1].why
    each = passes(model, "sample") + value_passes(model, criteria)
    affordable = int(_BUDGET / (each * able.weight))
    n, row = max(_LEAST, min(_MOST, affordable)) // _REPEATS, RULES[3]
    light = able.cheaply("embed") and able.cheaply("decode") and not able.can("log_prob")
    if each * able.weight <= CHEAP and (able.table or light):
        n, row = _EACH, RULES[2]
    held = getattr(model, "n_held", None)
    n = n if held is None else max(1, min(n, held // 2))
    passes_text = "a pass" if each == 1 else f"{each} passes"
    if able.weight > 1:
        passes_text += f" of {able.weight * _PASS / 1e6:,.0f} million multiplications"
    return Quantile(0.99, n, _REPEATS), f"{row.why}; a sample, scored, takes {passes_text}"


def _text(rule: Rule) -> str:
    if rule.source == "reference":
        return RULES[0].rule
    numbers = [f"{rule.n_samples:,} samples", f"{rule.n_repeats} repeats"]
    level = [f"{rule.params['q']:g}"] if "q" in rule.params else []
    return f"{type(rule).__name__}({', '.join([*level, *numbers])})"
