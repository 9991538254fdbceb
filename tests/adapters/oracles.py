"""How each adapter is compared with a slow computation, on one net: the checks of the table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor, nn
from torch.nn import functional as F

from pxgen_plugins import adapters
from pxgen_plugins.models import VAE

from .slow import Slow, shapley

__all__ = ["Case"]

SPACES = ("input", "latent")
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Sigmoid, nn.Tanh)


@dataclass
class Case:
    """An adapter on a net: what the check of a row is given."""

    name: str
    net: str
    model: VAE
    slow: Slow
    X: np.ndarray
    options: Mapping[str, Any]

    def make(self, **options: Any) -> Any:
        return adapters.get(self.name)(self.model, **{**self.options, **options})

    @property
    def targets(self) -> tuple[str, ...]:
        """A target through the whole model, and a linear one or one whose logarithms are cut."""
        return ("mse", "bce") if self.net == "saturated" else ("mse", "latent[0]")

    def of(self, target: str) -> Slow:
        """Where logarithms are cut, float32 is what the oracle needs."""
        return Slow(self.net, torch.float32) if target == "bce" else self.slow


def near(found: Any, expected: Any, rtol: float = 2e-3, atol: float = 1e-6) -> None:
    """Both finite, and equal up to float32: relative to the largest number."""
    one, two = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert np.isfinite([*one.ravel(), *two.ravel()]).all(), (one, two)
    assert one.shape == two.shape, (one.shape, two.shape)
    limit = atol + rtol * np.abs(two).max(initial=0.0)
    assert np.abs(one - two).max(initial=0.0) <= limit, (one, two)


def attribution(
    formula: Callable[[Slow, str, str, np.ndarray], Tensor], *spaces: str
) -> Callable[[Case], None]:
    """Compare attributions, values and completeness, for two targets in every space."""

    def check(case: Case) -> None:
        for target, space in itertools.product(case.targets, spaces or SPACES):
            options = {"space": space} if not spaces else {}
            result = case.make(target=target, **options).explain(case.X)
            slow = case.of(target)
            assert len(result.invalid) == 0, result.reasons
            near(result.attributions, formula(slow, target, space, case.X))
            points = slow.point(space, case.X)
            f = slow.function(target, space, case.X)
            near(result.target_values, f(points).detach())
            if (target, space) == ("latent[0]", "latent") and formula is not saliency:
                one = np.zeros(slow.odd.latent_shape)  # a linear target is shared exactly
                one.flat[0] = 1.0
                near(result.attributions, one * points.detach().numpy(), rtol=1e-5)
            if result.convergence_delta is not None:
                change = f(points) - f(torch.full_like(points, slow.low(space)))
                missed = np.asarray(result.attributions, float).reshape(len(case.X), -1).sum(1)
                near(result.convergence_delta, missed - change.detach().numpy(), atol=2e-5)

    return check


def saliency(slow: Slow, target: str, space: str, x: np.ndarray) -> Tensor:
    return slow.gradient(target, space, slow.point(space, x), x).abs()


def input_x_gradient(slow: Slow, target: str, space: str, x: np.ndarray) -> Tensor:
    return slow.point(space, x) * slow.gradient(target, space, slow.point(space, x), x)


def integrated(slow: Slow, target: str, space: str, x: np.ndarray) -> Tensor:
    return slow.integrated(target, space, x, 8)


def rescaled(slow: Slow, target: str, space: str, x: np.ndarray) -> Tensor:
    slopes = slow.linearised(target, space, x, ACTIVATIONS, paired=True)
    return slopes * (slow.point(space, x) - slow.low(space))


def relevance(slow: Slow, target: str, space: str, x: np.ndarray) -> Tensor:
    slopes = slow.linearised(target, space, x, (*ACTIVATIONS, nn.SiLU, nn.GELU), paired=False)
    return slow.point(space, x) * slopes


def covered(slow: Slow, target: str, space: str, x: np.ndarray) -> Tensor:
    """Every window in turn, one anchor at a time; means over the windows that cover an element."""
    shape = slow.odd.sample_shape
    sides = [1] * len(shape) if len(shape) == 1 else [shape[0], *(-(-s // 7) for s in shape[1:])]
    steps = [s if len(shape) > 1 and i == 0 else max(1, s // 2) for i, s in enumerate(sides)]
    places = [
        range(-(-(side - size) // step) + 1)
        for side, size, step in zip(shape, sides, steps, strict=True)
    ]
    total, count = torch.zeros(x.shape, dtype=slow.dtype), torch.zeros(x.shape)
    for i in range(len(x)):
        f = slow.function(target, space, x[i : i + 1])
        whole = slow.tensor(x[i : i + 1])
        for place in itertools.product(*places):
            window = tuple(
                slice(at * step, at * step + size)
                for at, step, size in zip(place, steps, sides, strict=True)
            )
            moved = whole.clone()
            moved[(0, *window)] = slow.low("input")
            total[(i, *window)] += float((f(whole) - f(moved)).detach())
            count[(i, *window)] += 1
    return total / count


def ablated(slow: Slow, target: str, space: str, x: np.ndarray) -> Tensor:
    codes = slow.code(x)
    out = torch.zeros_like(codes)
    f = slow.function(target, "latent", x)
    for place in itertools.product(*(range(s) for s in codes.shape[1:])):
        moved = codes.clone()
        moved[(slice(None), *place)] = 0.0
        out[(slice(None), *place)] = (f(codes) - f(moved)).detach()
    return out


def gradient_shap(case: Case) -> None:
    """The mean over draws lies around the integral, within five standard errors."""
    for target, space in itertools.product(case.targets, SPACES):
        slow, n = case.of(target), case.options["n_samples"]
        result = case.make(target=target, space=space).explain(case.X)
        exact = slow.integrated(target, space, case.X, 64).numpy()
        grads = slow.line(target, space, case.X, (np.arange(64) + 0.5) / 64)
        each = (grads * (slow.point(space, case.X) - slow.low(space))).numpy()
        allowed = 5 * each.std(0) / n**0.5 + 0.01 * np.abs(exact).max() + 1e-6
        assert (np.abs(result.attributions - exact) <= allowed).all()
        if target == "latent[0]" and space == "latent":
            near(result.attributions, exact)  # a linear target is integrated exactly


def grad_cam(case: Case) -> None:
    for target in case.targets if case.net == "saturated" else ("mse", "latent[0]", "kld"):
        result = case.make(target=target).explain(case.X)
        modules = dict(case.slow.net.named_modules())
        kept: list[Tensor] = []

        def keep(_: Any, __: Any, out: Tensor, kept: list[Tensor] = kept) -> Tensor:
            kept.append(out)
            return out.clone()  # what comes after may work in place

        handle = modules[result.layer].register_forward_hook(keep)
        x = case.slow.tensor(case.X)
        values = case.slow.target(target, x, *case.slow.net.encode(x))
        handle.remove()
        (slope,) = torch.autograd.grad(values.sum(), kept[0])
        weights = slope.flatten(2).mean(2).reshape(*slope.shape[:2], *[1] * (slope.ndim - 2))
        maps = (weights * kept[0]).sum(1, keepdim=True).detach()
        near(result.maps, maps)
        mode = {1: "linear", 2: "bilinear"}[maps.ndim - 2]
        large = F.interpolate(maps, case.X.shape[2:], mode=mode, align_corners=False)
        near(result.attributions, large.expand(case.X.shape))
        assert float(np.abs(np.asarray(slope)).max()) > 0, "a layer off the target's path"


def group_anchor(case: Case) -> None:
    """All 2^k images that show or hide the superpixels, each as likely as alibi draws it."""
    slow, x = case.slow, case.slow.tensor(case.X)
    values = {t: slow.target(t, x, *slow.net.encode(x)).detach() for t in ("kld", "mse")}
    bounds = {t: float(np.median(v)) for t, v in values.items()}
    result = case.make(thresholds=bounds).explain(case.X)
    near_to = torch.stack([values[t] < bounds[t] for t in bounds], 1)
    names = [
        "".join(("H" if h else "L") + k for h, k in zip(r, "IE", strict=True)) for r in near_to
    ]
    assert result.group.tolist() == names
    for i, name in enumerate(names):
        sides = result.segments[i].shape
        segments, kept = result.segments[i], result.attributions[i].reshape(-1, *sides)[0] > 0
        hidden = [s for s in np.unique(segments) if not kept[segments == s].any()]
        same = []
        for shown in itertools.product([0, 1], repeat=len(hidden)):
            image = case.X[i].copy()
            for s, show in zip(hidden, shown, strict=True):
                if not show:
                    image[..., segments == s] = case.X[i][..., segments == s].mean()
            y = slow.tensor(image[None])
            encoded = slow.net.encode(y)
            now = [bool(slow.target(t, y, *encoded) < bounds[t]) for t in bounds]
            same.append(
                name == "".join(("H" if h else "L") + k for h, k in zip(now, "IE", strict=True))
            )
        exact = np.mean(same)
        low, high = result.precision_interval[i]
        assert low <= min(result.precision[i], exact) <= max(result.precision[i], exact) <= high
        assert result.n_kept[i] + len(hidden) == result.n_segments[i]


def _code_function(case: Case, target: str, i: int) -> Callable[[np.ndarray], np.ndarray]:
    f = case.slow.function(target, "latent", case.X[i : i + 1])
    shape = case.slow.odd.latent_shape

    def values(codes: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return f(torch.from_numpy(codes).reshape(-1, *shape)).numpy()

    return values


def latent_shap(case: Case) -> None:
    background = case.slow.code(case.X).flatten(1).numpy()
    for target in ("mse", "latent[0]"):
        result = case.make(target=target).fit(case.X).explain(case.X[:2])
        for i, code in enumerate(background[:2]):
            f = _code_function(case, target, i)

            def value(team: list[int], f: Any = f, code: np.ndarray = code) -> float:
                rows = background.copy()
                rows[:, team] = code[team]
                return float(f(rows).mean())

            near(result.weights[i], shapley(value, len(code)), atol=1e-5)
        near(result.additivity_gap, np.zeros(2), atol=1e-5)


def latent_lime(case: Case) -> None:
    """LIME's own recipe in numpy: standardised draws, exponential kernel, weighted ridge."""
    codes = case.slow.code(case.X).flatten(1).numpy()
    mean, scale = codes.mean(0), codes.std(0)
    d = codes.shape[1]
    for target in ("mse", "latent[0]"):
        result = case.make(target=target, discretize=False, n_samples=200).fit(case.X)
        weights = result.explain(case.X[:2]).weights
        draws = np.random.RandomState(0).normal(0, 1, 200 * d).reshape(200, d)
        for i in range(2):
            rows = np.concatenate([codes[i : i + 1], (draws * scale + mean)[1:]])
            scaled = (rows - mean) / scale
            far = np.linalg.norm(scaled - scaled[0], axis=1)
            kernel = np.sqrt(np.exp(-(far**2) / (0.75 * d**0.5) ** 2))
            y = _code_function(case, target, i)(rows)
            a, b = np.average(scaled, 0, kernel), np.average(y, 0, kernel)
            left = (scaled - a).T @ (kernel[:, None] * (scaled - a)) + np.eye(d)
            near(weights[i], np.linalg.solve(left, (scaled - a).T @ (kernel * (y - b))), rtol=1e-2)


def latent_ale(case: Case) -> None:
    targets = ["mse", "latent[0]"]
    result = case.make(target=targets).explain(case.X)
    codes = case.slow.code(case.X).flatten(1).numpy()
    functions = [[_code_function(case, t, i) for i in range(len(codes))] for t in targets]
    for t, rows in enumerate(functions):
        here = [float(f(codes[i : i + 1])[0]) for i, f in enumerate(rows)]
        near(result.constant_value[t], np.mean(here))
        for j, grid in enumerate(result.feature_values):
            steps, counts = np.zeros(len(grid)), np.zeros(len(grid))
            for i, f in enumerate(rows):
                k = max(1, int(np.searchsorted(grid, np.float64(codes[i, j]) - 1e-6)))
                ends = np.repeat(codes[i : i + 1], 2, axis=0)
                ends[:, j] = grid[k - 1], grid[k]
                low, high = f(ends)
                steps[k] += high - low
                counts[k] += 1
            curve = np.cumsum(steps / np.maximum(counts, 1))
            centre = ((curve[1:] + curve[:-1]) / 2 * counts[1:]).sum() / len(codes)
            near(result.ale_values[j][:, t], curve - centre, rtol=1e-2, atol=1e-5)


def partial_dependence(case: Case) -> None:
    targets = ["mse", "latent[0]"]
    result = case.make(target=targets, kind="both", grid_resolution=4).explain(case.X)
    codes = case.slow.code(case.X).flatten(1).numpy()
    for j, grid in enumerate(result.feature_values):
        for t, target in enumerate(targets):
            curves = np.zeros((len(codes), len(grid)))
            for i in range(len(codes)):
                rows = np.repeat(codes[i : i + 1], len(grid), axis=0)
                rows[:, j] = grid
                curves[i] = _code_function(case, target, i)(rows)
            near(result.ice_values[j][t], curves, atol=1e-5)
            near(result.pd_values[j][t], curves.mean(0), atol=1e-5)


def contrast(case: Case) -> None:
    """A KLD lies below a bound inside a ball of codes: the way into it is known."""
    slow, x = case.slow, case.slow.tensor(case.X)
    mean, log_var = (part.detach() for part in slow.net.encode(x))
    rest = slow.target("kld", x, torch.zeros_like(mean), log_var)
    lengths = mean.flatten(1).norm(dim=1)
    bound = float((rest + 0.5 * (0.7 * lengths) ** 2).max())
    result = case.make(boundary={"kld": bound}, goal="HI", beta=0.0).explain(case.X)
    radius = (2 * (bound - rest)).sqrt()
    exact = (lengths - radius).clamp(min=0).numpy()
    assert (result.success == True).all()  # noqa: E712
    assert (result.distance >= exact - 1e-5).all()
    near(result.distance, exact, rtol=0.05, atol=2e-3 * float(lengths.max()))
    # a border through the decoder: what is said to be across is across
    values = slow.target("mse", x, mean, log_var).detach()
    bound = float(np.median(values))
    result = case.make(boundary={"mse": bound}, goal="HE").explain(case.X)
    near(result.start, mean)
    with torch.no_grad():
        end = slow.target("mse", x, slow.tensor(result.end), log_var)
    assert ((end < bound).numpy() | ~result.success).all()
    assert (result.status[(values < 0.99 * bound).numpy()] == "already").all()


def view(case: Case) -> None:
    codes = case.slow.code(case.X).flatten(1).numpy()
    centred = codes - codes.mean(0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    result = case.make().explain(case.X)
    k = min(2, codes.shape[1])  # a second axis of one dimension is empty
    expected, ratio = np.zeros((len(codes), 2)), np.zeros(2)
    expected[:, :k] = np.abs(centred @ axes[:k].T)
    ratio[:k] = (sizes**2 / (sizes**2).sum())[:k]
    near(np.abs(result.coordinates), expected, atol=1e-4)
    near(result.explained_variance_ratio, ratio)


def _kernel(rows: np.ndarray, sigma: float) -> np.ndarray:
    apart = np.array([[((a - b) ** 2).sum() for b in rows] for a in rows])
    return np.exp(-apart / (2 * sigma**2))


def protodash(case: Case) -> None:
    rows = case.slow.code(case.X).flatten(1).numpy()
    pairs = [np.linalg.norm(a - b) for a, b in itertools.combinations(rows, 2)]
    result = case.make(n_prototypes=3).explain(case.X)
    near(result.sigma, np.median(pairs))
    kernel, picks, weights = _kernel(rows, float(np.median(pairs))), [], np.zeros(0)
    mean = kernel.mean(0)
    for _ in range(3):
        slope = mean - kernel[:, picks] @ weights
        slope[picks] = -np.inf
        picks.append(int(slope.argmax()))
        inner = np.linalg.cholesky(kernel[np.ix_(picks, picks)])
        weights = nnls(inner.T, np.linalg.solve(inner, mean[picks]))[0]
    assert result.indices.tolist() == picks
    near(result.weights, weights, rtol=1e-3)


def protoselect(case: Case) -> None:
    rows = case.slow.code(case.X).flatten(1).numpy()
    apart = np.array([[np.linalg.norm(a - b) for b in rows] for a in rows])
    radius = float(np.quantile(apart[np.triu_indices(len(rows), 1)], 0.3))
    result = case.make(n_prototypes=4, radius=radius).explain(case.X)
    covers, left = apart <= radius, np.ones(len(rows), dtype=bool)
    for pick in result.indices:  # one of those that cover most of what is left
        gain = (covers & left).sum(1)
        assert gain[pick] == gain.max() > 0
        left &= ~covers[pick]
    assert len(result.indices) == 4 or not left.any()
    near(result.coverage, 1 - left.mean())


def training_neighbours(case: Case) -> None:
    rows = case.slow.code(case.X).flatten(1).numpy()
    apart = np.array([[np.linalg.norm(a - b) for b in rows[:4]] for a in rows])
    result = case.make(n_neighbours=2, space="latent").fit(case.X[:4]).explain(case.X)
    near(result.distances, np.sort(apart, axis=1)[:, :2])
    near(np.take_along_axis(apart, result.indices, axis=1), np.sort(apart, axis=1)[:, :2])


def tracin(case: Case) -> None:
    losses = ("mse", "bce") if case.net == "saturated" else ("mse",)
    for kind in losses:
        slow = case.of(kind)
        size = int(np.prod(slow.odd.sample_shape))

        def loss(x: Tensor, kind: str = kind, slow: Slow = slow, size: int = size) -> Tensor:
            mean, log_var = slow.net.encode(x)
            return size * slow.target(kind, x, mean, log_var) + slow.target("kld", x, mean, log_var)

        result = case.make(loss=kind, n_draws=0).fit(case.X).explain(case.X[:2])
        rows = slow.parameters_gradient(loss, case.X).astype(float)
        near(result.influence, rows @ rows[:2].T)
        near(result.self_influence, (rows**2).sum(1))
        assert result.helpful[:, 0].tolist() == (rows @ rows[:2].T).argmax(0).tolist()


def similarity(case: Case) -> None:
    for target in case.targets:
        slow = case.of(target)

        def loss(x: Tensor, target: str = target, slow: Slow = slow) -> Tensor:
            return slow.target(target, x, *slow.net.encode(x))

        result = case.make(target=target).fit(case.X).explain(case.X[:2])
        rows = slow.parameters_gradient(loss, case.X).astype(float)
        near(result.scores, rows[:2] @ rows.T)


def statistics(case: Case) -> None:
    result = case.make().explain(case.X)
    expected = case.slow.watched(case.X)
    assert set(result.layers) == set(expected)
    for layer, values in expected.items():
        near(result.layers[layer]["mean"][0], values.mean(0), atol=1e-5)
        near(result.layers[layer]["std"][0], values.std(0), atol=1e-5)


def maximisation(case: Case) -> None:
    """What is reached is what the layer returns there, and no code of many reaches more."""
    result = case.make(units=[0]).explain(case.X)
    slow, layer = case.slow, dict(case.slow.net.named_modules())[result.layer]
    kept: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, out: kept.append(out.clone()))

    def reached(codes: Tensor) -> np.ndarray:
        with torch.no_grad():
            slow.net.decode(codes)
        return (
            kept.pop().flatten(2).mean(2)[:, 0].numpy()
            if kept[-1].ndim > 2
            else kept.pop()[:, 0].numpy()
        )

    shape = slow.odd.latent_shape
    rng = np.random.default_rng(0)
    ways = rng.normal(size=(2000, int(np.prod(shape))))
    ways *= (
        result.radius * rng.random((2000, 1)) ** 0.3 / np.linalg.norm(ways, axis=1, keepdims=True)
    )
    best = float(reached(torch.from_numpy(ways).reshape(-1, *shape)).max())
    near(result.activation.max(1), reached(slow.tensor(result.codes)), atol=1e-5)
    near(result.anchor_activation[:, 0], reached(slow.code(case.X)), atol=1e-5)
    handle.remove()
    assert np.linalg.norm(result.codes[0]) <= result.radius * (1 + 1e-5)
    assert result.activation.max() >= best - 0.01 * abs(best)
