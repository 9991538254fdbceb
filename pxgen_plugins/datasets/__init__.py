"""Data and weights shipped with the package, so that its first example needs no download.

Each data file stands beside a JSON card of the same name: what it is, its licence or the settings
it came from, and its SHA-256, which is checked whenever the file is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxgen_plugins.datasets.mnist import load_mnist

if TYPE_CHECKING:
    from pxgen_plugins.datasets.mnist_vae import MNISTVAE, load_mnist_vae

__all__ = ["MNISTVAE", "load_mnist", "load_mnist_vae"]


def __getattr__(name: str) -> Any:
    # The images are of use without torch, whose import takes over a second.
    if name in {"MNISTVAE", "load_mnist_vae"}:
        from pxgen_plugins.datasets import mnist_vae

        return getattr(mnist_vae, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
