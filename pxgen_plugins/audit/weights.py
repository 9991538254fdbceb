"""The weights that settings name: data alone, of safetensors or of ``torch.save``."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path
from typing import IO

from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import open_regular
from pxgen_plugins.utils.limits import WEIGHTS
from pxgen_plugins.utils.redaction import redact

__all__ = ["check_weights"]

_NAME = "model.weights"
_PICKLED = (".pt", ".pth")
_CONVERT = (
    "Convert it once, where you trust it, with its classes at hand: "
    "torch.save(torch.load(path, weights_only=False).state_dict(), 'weights.pt')."
)


def check_weights(path: str) -> None:
    """Raise unless a file may be handed to a factory: one that holds tensors and no code.

    A ``.pt`` or ``.pth`` file is read as a whole by ``torch.load(weights_only=True)`` and thrown
    away, so that the factory, which reads it again in its own way, meets no pickled code.

    Args:
        path: The file.

    Raises:
        ParameterError: When it is no such file, cannot be read, is too large, or needs code.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".safetensors", *_PICKLED):
        hint = (
            "Save the weights by safetensors, which holds no code, or a state_dict by torch.save."
        )
        got = f"{short_repr(path)}, which ends otherwise"
        allowed = "a file whose name ends in .safetensors, .pt or .pth"
        raise ParameterError(_NAME, allowed, got, _with_variables(hint, path))
    if not Path(path).is_file():
        hint = "Check the path, which is relative to the settings file. A URL is not taken."
        got = f"{short_repr(path)}, which is no file"
        raise ParameterError(_NAME, "a file of this machine", got, _with_variables(hint, path))
    if suffix in _PICKLED:
        _check_pickled(path)


def _with_variables(hint: str, path: str) -> str:
    """Return a hint that names the environment variables in a path, whose values are hidden."""
    names = re.findall(r"\$\{(\w+)\}", redact(path))
    return f"{hint} Look at what the environment has for {' and '.join(names)}." if names else hint


def _check_pickled(path: str) -> None:
    import torch

    name = short_repr(os.path.basename(path))
    try:
        with open_regular(path, WEIGHTS) as file:
            _check_size(file)
            torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        got = f"{name} ({error.strerror or type(error).__name__})"
        raise ParameterError(_NAME, "readable", got, "Check the path.") from error
    except (Exception, RecursionError) as error:  # whatever torch raises on a damaged file
        allowed = "a file of tensors alone, as torch.load(weights_only=True) reads it"
        why = str(error)
        code = "weights_only" in why.lower() or "unsupported" in why.lower()
        hint = _CONVERT if code else "Save the state_dict again by torch.save, or by safetensors."
        if type(error) is ValueError and WEIGHTS.name in why:
            allowed, hint = f"of at most {WEIGHTS.value:,} {WEIGHTS.what}", "Use safetensors."
        got = f"{name}: {type(error).__name__}: {redact(_first_reason(why))}"
        raise ParameterError(_NAME, allowed, got, hint) from error


def _check_size(file: IO[bytes]) -> None:
    """Raise ValueError when an archive's members are larger than the limit once unpacked."""
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile:  # torch's older format, or none at all
        unpacked = 0
    file.seek(0)
    WEIGHTS.check(unpacked)


def _first_reason(text: str) -> str:
    """Return the line of torch's long advice that says what was met."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    told = next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), "")
    return (told or (lines[0] if lines else "no reason given"))[:200]
