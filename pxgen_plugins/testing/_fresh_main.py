"""The separate process of :mod:`pxgen_plugins.testing.fresh`: one request, one reply per line."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import traceback
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np


def _predictor(home: dict[str, str]) -> Any:
    try:
        module = importlib.import_module(home["module"]) if home["module"] != "__main__" else None
    except ImportError:
        module = None
    if module is None:  # a script, or a module that only its runner can import by name
        spec = importlib.util.spec_from_file_location("pxgen_checked_module", home["file"])
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot import {home['module']} from {home['file']!r}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return attrgetter(home["name"])(module)()


def _serve(request: dict[str, Any]) -> None:
    from alibi.saving import NumpyEncoder, load_explainer

    explainer = load_explainer(request["saved"], _predictor(request["predictor"]))
    kwargs = dict(request["kwargs"])
    with np.load(request["inputs"], allow_pickle=False) as arrays:
        X = arrays["X"]
        for key in arrays.files:
            if key.startswith("kwarg:"):
                kwargs[key.removeprefix("kwarg:")] = arrays[key]
    meta = json.loads(json.dumps(explainer.meta, cls=NumpyEncoder))
    explanation = explainer.explain(X, **kwargs)
    kind = type(explainer)
    result = {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "meta": meta,
        "explanation": json.loads(explanation.to_json()),
    }
    Path(request["result"]).write_text(json.dumps(result), encoding="utf-8")


def main() -> None:
    """Answer requests until the input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print must not reach the replies
    for line in sys.stdin:
        try:
            _serve(json.loads(line))
            reply = "done"
        except Exception:
            reply = " | ".join(traceback.format_exc().strip().splitlines()[-4:])
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
