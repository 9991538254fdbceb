"""Views of equal, few or extreme points: finite places or one clear error, no dead process."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys, warnings
import numpy as np, torch
from pxgen_plugins.adapters import LatentView
from pxgen_plugins.models import VAE
from pxgen_plugins.utils.errors import PXGenError

warnings.simplefilter("ignore")
model = VAE(
    encode=lambda x: (x[:, :3], x[:, :3] * 0 - 1), decode=lambda z: torch.cat([z, z[:, :1]], 1),
    modules=(), latent_shape=(3,), sample_shape=(4,), data_range=None,
)
rng = np.random.default_rng(0)
few = rng.random((5, 4))
line = rng.random((20, 4))
line[:, 1:] = 7
outlier = np.zeros((20, 4))
outlier[0] = 1
CASES = {
    "one": np.ones((1, 4)), "two": few[:2], "three": few[:3], "four": few[:4],
    "equal": np.ones((20, 4)), "equal but one": outlier, "line": line,
    "pairs": few[np.arange(20) % 5],
    "tiny": rng.random((20, 4)) * 1e-30, "huge": rng.random((20, 4)) * 1e30,
    "far": 1e6 + rng.random((20, 4)),
}
PLACED = {"four", "line", "pairs", "tiny", "huge"}
method, backend = sys.argv[1:]
for name, X in CASES.items():
    try:
        view = LatentView(model, method, backend=backend or None).explain(X.astype("f4"))
        assert np.isfinite(view.coordinates).all(), name
        assert view.trustworthiness is None or np.isfinite(view.trustworthiness), name
    except PXGenError as error:
        assert "anchors" in str(error) and (name not in PLACED or method == "umap"), (name, error)
print("alive")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "backend", "library"),
    [
        ("pca", "", "sklearn"),
        ("tsne", "sklearn", "sklearn"),
        ("tsne", "opentsne", "openTSNE"),
        pytest.param("umap", "", "umap", marks=pytest.mark.slow),
    ],
)
def test_a_view_of_degenerate_points_is_finite_or_refused(method, backend, library):
    pytest.importorskip(library)
    command = [sys.executable, "-W", "ignore", "-c", CODE, method, backend]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "alive" in done.stdout
