"""The same model under thresholds from its own samples and from held-out data.

    python examples/reference_thresholds.py --output docs/results

The shipped VAE of MNIST zeros. The test file holds 980 zeros: every other one is reference data,
the rest and all other digits are anchors. Written are ``reference_thresholds.json`` and a table as
Markdown; ``docs/thresholds.md`` says what follows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from signature import signature

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist, load_mnist_vae
from pxgen_plugins.models import wrap
from pxgen_plugins.result import Result
from pxgen_plugins.thresholds import Conformal, MeanMax, Quantile, Rule
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import markdown_table, number, percent

RULES: dict[str, Rule] = {
    "MeanMax(10_000, 10)": MeanMax(10_000, 10),
    "MeanMax(1_000, 100)": MeanMax(1_000, 100),
    "Conformal(0.05)": Conformal(0.05),
    "Conformal(0.05, joint=True)": Conformal(0.05, joint=True),
    'Conformal(0.05, source="reference")': Conformal(0.05, source="reference"),
    'Conformal(0.05, source="reference", joint=True)': Conformal(
        0.05, source="reference", joint=True
    ),
    'Quantile(0.95, source="reference")': Quantile(0.95, source="reference"),
    'MeanMax(source="reference")': MeanMax(source="reference"),
}


def row(name: str, rule: Rule, seed: int, n_others: int) -> dict[str, Any]:
    """Return the shares under a rule, with their intervals."""
    images, labels = load_mnist("test")
    zeros, others = images[labels == 0], images[labels != 0][:n_others]
    model = wrap(load_mnist_vae(), sample_shape=(1, 28, 28))
    explainer = PXGen(model, threshold=rule, selectors="top", examples=False, seed=seed)
    explainer.fit(zeros[::2] if rule.source == "reference" else None)
    anchors = np.concatenate([zeros[1::2], others])
    is_zero = np.arange(len(anchors)) < len(zeros[1::2])
    result = Result.of(explainer.explain(anchors))
    shares = result.shares
    return {
        "rule": name,
        "thresholds": dict(zip(result.criteria, result.thresholds.tolist(), strict=True)),
        "zeros in HIHE": _share(result, "HIHE", is_zero, shares.intervals(is_zero)[0]),
        "zeros in HILE": _share(result, "HILE", is_zero, shares.intervals(is_zero)[1]),
        "other digits in HIHE": _share(result, "HIHE", ~is_zero, shares.intervals(~is_zero)[0]),
    }


def _share(result: Result, group: str, among: Any, interval: Any) -> dict[str, Any]:
    return {"share": float((result.group[among] == group).mean()), "interval": interval.tolist()}


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table, shares with their 95% intervals."""
    names = ("zeros in HIHE", "zeros in HILE", "other digits in HIHE")
    lines = [
        [
            f"`{one['rule']}`",
            ", ".join(number(value, 3) for value in one["thresholds"].values()),
            *(
                f"{percent(one[name]['share'])} "
                f"({' to '.join(percent(end) for end in one[name]['interval'])})"
                for name in names
            ),
        ]
        for one in rows
    ]
    head = ["rule", "threshold of kld, mse", *names]
    text = "Shares with 95% intervals, for other anchors and another calibration.\n\n"
    return "# One model, two sources\n\n" + text + "\n".join(markdown_table(head, lines, 1)) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Run the script with ``argv``, those of the command line by default."""
    parser = argparse.ArgumentParser(description="Thresholds from samples and from held-out data.")
    parser.add_argument("--output", type=Path, default=Path("output/reference_thresholds"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-others", type=int, default=10_000, help="anchors of other digits")
    parser.add_argument("--rules", type=int, default=len(RULES), help="only so many of the rules")
    given = parser.parse_args(argv)
    some = list(RULES.items())[-given.rules :]
    rows = [row(name, rule, given.seed, given.n_others) for name, rule in some]
    given.output.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"rows": rows}, indent=1, allow_nan=False) + "\n"
    write_atomic(given.output / "reference_thresholds.json", content.encode())
    text = markdown(rows) + signature(__file__, argv)
    write_atomic(given.output / "reference_thresholds.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
