"""Load saved explainers in a separate process, which knows nothing but what was saved.

Importing alibi takes seconds, so one child serves all requests of this process; it is started on
the first one and ends with this process.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["explain_in_fresh_process", "reference"]

_SECONDS = 300.0
_lock = threading.Lock()
_child: subprocess.Popen[str] | None = None


def reference(function: Callable[..., Any]) -> dict[str, str]:
    """Return where another process finds ``function``: its module, file and name.

    Raises:
        AssertionError: For lambdas and inner functions, which no other process can import.
    """
    name = getattr(function, "__qualname__", "")
    home = getattr(function, "__module__", "")
    module = sys.modules.get(home)
    if not name or "<" in name or module is None:
        raise AssertionError(
            f"make_predictor is {function!r}, which a fresh process cannot import: "
            "make it a function at the top level of a module"
        )
    return {"module": home, "file": getattr(module, "__file__", None) or "", "name": name}


def explain_in_fresh_process(
    saved: Path,
    make_predictor: Callable[[], Any],
    X: NDArray[Any],
    kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """Load the explainer in ``saved`` in the child process, explain ``X`` there.

    Returns:
        ``{"class": qualified name, "meta": explainer metadata, "explanation": {"meta", "data"}}``,
        all as JSON gives it back.

    Raises:
        AssertionError: When the child fails; the message ends with its traceback's last lines.
    """
    arrays = {f"kwarg:{key}": v for key, v in kwargs.items() if isinstance(v, np.ndarray)}
    if X.dtype == object or any(value.dtype == object for value in arrays.values()):
        raise AssertionError("arrays of objects cannot be handed to a fresh process safely")
    scalars = {key: v for key, v in kwargs.items() if not isinstance(v, np.ndarray)}
    with tempfile.TemporaryDirectory(prefix="pxgen-fresh-") as name:
        inputs, result = Path(name, "inputs.npz"), Path(name, "result.json")
        np.savez(inputs, X=X, **cast("dict[str, Any]", arrays))
        request = {
            "saved": str(saved),
            "predictor": reference(make_predictor),
            "inputs": str(inputs),
            "kwargs": scalars,
            "result": str(result),
        }
        with _lock:
            reply = _reply_to(json.dumps(request))
        if reply != "done":
            raise AssertionError(f"the fresh process failed: {reply}")
        loaded: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return loaded


def _reply_to(line: str) -> str:
    child = _running_child()
    stdin, stdout = cast("IO[str]", child.stdin), cast("IO[str]", child.stdout)
    replies: list[str] = []
    reader = threading.Thread(target=lambda: replies.append(stdout.readline()), daemon=True)
    try:
        stdin.write(line + "\n")
        stdin.flush()
        reader.start()
        reader.join(_SECONDS)
    except OSError as error:
        _stop()
        return f"it ended: {error}"
    if not replies or not replies[0]:
        _stop()
        return "it ended" if replies else f"no answer in {_SECONDS:g} seconds"
    return str(json.loads(replies[0]))


def _running_child() -> subprocess.Popen[str]:
    global _child
    if _child is None or _child.poll() is not None:
        paths = [str(Path(entry or ".").resolve()) for entry in sys.path]
        _child = subprocess.Popen(
            [sys.executable, "-m", "pxgen_plugins.testing._fresh_main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        atexit.register(_stop)
    return _child


def _stop() -> None:
    global _child
    if _child is not None:
        _child.kill()
        _child.wait()
        for stream in (_child.stdin, _child.stdout):
            if stream is not None:
                stream.close()
        _child = None
