"""A line of Python that makes the picture that is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from pxgen_plugins.explorer.messages import StrokeMessage

__all__ = ["line_of_code", "line_of_sample", "line_of_text"]


def line_of_code(name: str, z: Tensor, strokes: Sequence[StrokeMessage]) -> str:
    """Return the line that makes ``x``, an instance (1, *sample_shape), of a code.

    Args:
        name: How the model is called, as in ``"model"``.
        z: The code, (1, *latent_shape); the line gives it exactly.
        strokes: What was painted.

    Example:
        >>> import torch
        >>> line_of_code("model", torch.tensor([[0.1, -2.0]]), [])
        'import torch; x = model.decode(torch.tensor([[0.1, -2.0]]).to(model.device, model.dtype))'
    """
    code = f"torch.tensor([{_floats(z)}])"
    if z.ndim != 2:
        code += f".reshape{tuple(z.shape)}"
    if not strokes:
        return f"import torch; x = {name}.decode({code}.to({name}.device, {name}.dtype))"
    imports = "import torch; from pxgen_plugins.painting import Stroke, paint; "
    if any(stroke.mask is not None for stroke in strokes):
        imports += "import base64; import numpy as np; "
    several = ", ".join(_stroke(stroke) for stroke in strokes)
    layer = "" if strokes[0].layer is None else f", {strokes[0].layer!r}"
    return f"{imports}x = torch.from_numpy(paint({name}, {code}, [{several}]{layer}).images)"


def line_of_text(name: str, text: str) -> str:
    """Return the line that makes ``x`` of a text."""
    return f"x = {name}.rows([{text!r}])"


def line_of_sample(name: str, seed: int) -> str:
    """Return the line that makes ``x``, an instance that the model draws."""
    return f"x = {name}.sample(1, {seed})"


def _floats(z: Tensor) -> str:
    """Return numbers as the shortest decimals that float32 reads back exactly."""
    return "[" + ", ".join(_decimal(value) for value in z.flatten().numpy()) + "]"


def _decimal(value: np.float32) -> str:
    return repr(float(np.format_float_scientific(value, unique=True)))


def _stroke(stroke: StrokeMessage) -> str:
    parts = []
    if stroke.mask is not None:
        height, width = stroke.mask.size
        parts.append(
            f"mask=np.frombuffer(base64.b64decode({stroke.mask.cells!r}), np.uint8)"
            f".reshape({height}, {width}) / np.float32(255)"
        )
    value = "'typical'" if stroke.value == "on" else repr(stroke.value)
    parts += [f"units={stroke.units}", f"value={value}", f"strength={stroke.strength!r}"]
    return f"Stroke({', '.join(parts)})"
