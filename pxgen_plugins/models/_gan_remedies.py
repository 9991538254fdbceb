"""What to do about a network of a GAN that refuses its first batch: found out by trying."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor
from torch.nn.functional import one_hot

from pxgen_plugins.models.callables import Call

__all__ = ["remedy"]

_CLASSES = (
    "Where it takes codes and classes, pass n_classes=10, say, and condition=3 to explain one of "
    "them; or wrap it for one class: {role}=lambda {name}: net({name}, y), modules=net."
)
_ONE_HOT = (
    "It takes classes one-hot, and is given them as int64 (n,): pass {role}=lambda {name}, y: "
    "net({name}, torch.nn.functional.one_hot(y, {n}).to({name}.dtype)), modules=net."
)
_PERHAPS_ONE_HOT = (
    "Check the shapes, and wrap it where it takes classes one-hot, as it is given them as int64 "
    "(n,): {role}=lambda {name}, y: net({name}, torch.nn.functional.one_hot(y, 10).to("
    "{name}.dtype)), for 10 classes, and modules=net."
)
_SHAPE = "It takes codes of another shape: pass latent_shape={shape}."


def remedy(
    call: Call, inputs: tuple[Tensor, ...], error: BaseException | None, n_classes: int | None
) -> str | None:
    """Return what would make a network take its batch, a full sentence; None where nobody knows.

    Args:
        call: The network, called in the way that it is used.
        inputs: What it refused: a batch, and classes where there are any.
        error: What it raised.
        n_classes: Number of classes, where it is known.
    """
    batch, classes = inputs[0], inputs[1:]
    words = {"role": call.role, "name": "z" if call.role == "generator" else "x"}
    if not classes and isinstance(error, TypeError) and "required positional arg" in str(error):
        return _CLASSES.format(**words)
    hot = [one_hot(y, n_classes).to(batch.dtype) for y in classes if n_classes]
    if hot and _takes(call, batch, *hot):
        return _ONE_HOT.format(**words, n=n_classes)
    size = batch[0].numel()
    shapes = [(size,), (size, 1), (size, 1, 1), (size, 1, 1, 1)] if call.role == "generator" else []
    for shape in shapes:
        if shape != tuple(batch.shape[1:]) and _takes(
            call, batch.reshape(len(batch), *shape), *classes
        ):
            return _SHAPE.format(shape=shape)
    # condition= alone does not say how many classes there are, so that cannot be tried
    return _PERHAPS_ONE_HOT.format(**words) if classes and not n_classes else None


def _takes(call: Call, *inputs: Tensor) -> bool:
    """Return whether a network gives a row for each of the batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made: Any = call(*inputs)
        except Exception:  # whatever it raises on inputs that nobody promised
            return False
    return isinstance(made, Tensor) and made.ndim > 1 and len(made) == len(inputs[0])
