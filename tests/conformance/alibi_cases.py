"""Alibi's own explainers as reference cases, with what they are known to fail."""

from __future__ import annotations

from typing import Any

import numpy as np
from alibi.api import defaults

from pxgen_plugins.testing import ExplainerCase

from .alibi_models import (
    FEATURES,
    classes,
    corner,
    grown_classes,
    grown_corner,
    grown_height,
    grown_net,
    grown_surface,
    height,
    net,
    other_classes,
    other_corner,
    other_height,
    other_net,
    other_surface,
    squared_error,
    surface,
)

ROWS = np.random.default_rng(3).normal(size=(24, FEATURES))
IMAGE = np.random.default_rng(4).random((8, 8, 1))


def first_column(X: np.ndarray) -> dict[str, Any]:
    return {"Y": X[:, :1].astype(np.float32)}


def true_height(X: np.ndarray) -> dict[str, Any]:
    return {"y": X[:, 0] + 0.2, "n_repeats": 3}


def itself(module: Any) -> Any:
    return module


def ale(predictor: Any, **options: Any) -> Any:
    from alibi.explainers import ALE

    return ALE(predictor, **options)


def partial_dependence(predictor: Any, **options: Any) -> Any:
    from alibi.explainers import PartialDependence

    return PartialDependence(predictor, **options)


def pd_variance(predictor: Any, **options: Any) -> Any:
    from alibi.explainers import PartialDependenceVariance

    return PartialDependenceVariance(predictor, **options)


def permutation(predictor: Any, **options: Any) -> Any:
    from alibi.explainers import PermutationImportance

    return PermutationImportance(predictor, loss_fns="mean_squared_error", **options)


def kernel_shap(predictor: Any, **options: Any) -> Any:
    from alibi.explainers import KernelShap

    return KernelShap(predictor, **{"task": "regression", "seed": 0, **options})


def anchor_tabular(predictor: Any, **options: Any) -> Any:
    from alibi.explainers import AnchorTabular

    names = [f"f{i}" for i in range(FEATURES)]
    return AnchorTabular(predictor, names, **{"seed": 0, **options})


def anchor_image(predictor: Any, **options: Any) -> Any:
    from alibi.explainers import AnchorImage

    return AnchorImage(predictor, IMAGE.shape, segmentation_fn=quarters, **{"seed": 0, **options})


def quarters(image: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(image.shape[:2]) // 4
    return 2 * rows + columns


def gradient_similarity(predictor: Any, **options: Any) -> Any:
    from alibi.explainers import GradientSimilarity

    settings = {"task": "regression", "backend": "pytorch", **options}
    return GradientSimilarity(predictor, squared_error, **settings)


def stored_gradients(predictor: Any, **options: Any) -> Any:
    return gradient_similarity(predictor, precompute_grads=True, **options)


# Why alibi fails, found by running 0.9.4 and 0.9.6, which fail alike.
PARAMS = "alibi records only some of the arguments in meta['params']"
MUTATES = "explain writes its parameters into the explainer's own metadata"
SAME = "the explanation gets the explainer's metadata itself, not a copy"
GLOBAL = "alibi draws from, or reseeds, numpy's global generator"
UNSEEDED = "the method draws from numpy's global generator and has no seed"
EMPTY = "an empty batch is not checked and ends inside numpy, scikit-learn or shap"
ONE = "an instance without a batch axis is not checked"
NO_PREDICTOR = "the class keeps its model under another name, so alibi.saving cannot save it"
LISTS = "arrays are wanted where JSON gives lists"
SAVE_FAILURES = dict.fromkeys(
    ("failed_write_keeps_the_predictor", "failed_pickling_keeps_the_predictor"),
    "alibi.saving sets predictor to None without try/finally",
)


def alibi_cases() -> list[ExplainerCase]:
    """Return the reference cases that need nothing but alibi and torch."""
    return [
        _ale(),
        _partial_dependence(),
        _pd_variance(),
        _permutation(),
        _tabular(),
        _image(),
        _similarity(),
        _similarity_with_stored_gradients(),
    ]


def shap_cases() -> list[ExplainerCase]:
    """Return the reference cases that need shap."""
    return [_kernel_shap()]


def _case(
    name: str, make: Any, predictors: Any, X: Any, keys: Any, failures: Any, **more: Any
) -> ExplainerCase:
    make_predictor, make_other, make_grown = predictors
    return ExplainerCase(
        name=name,
        make=make,
        make_predictor=make_predictor,
        make_other=make_other,
        make_grown=make_grown,
        X=X,
        data_keys=frozenset(keys),
        expected_failures={"init_arguments_are_in_params": PARAMS, **SAVE_FAILURES, **failures},
        **more,
    )


SURFACES = (surface, other_surface, grown_surface)
HEIGHTS = (height, other_height, grown_height)
CLASSES = (classes, other_classes, grown_classes)
CORNERS = (corner, other_corner, grown_corner)
NETS = (net, other_net, grown_net)


def _ale() -> ExplainerCase:
    failures = {
        "representations_stay_short": "hundreds of bins per feature, each array written in full",
        "explain_leaves_metadata_alone": MUTATES,
        "empty_batch_is_defined": EMPTY,
    }
    return _case("ALE", ale, SURFACES, ROWS, defaults.DEFAULT_DATA_ALE, failures)


def _partial_dependence() -> ExplainerCase:
    failures = {"explain_leaves_metadata_alone": MUTATES, "empty_batch_is_defined": EMPTY}
    keys = defaults.DEFAULT_DATA_PD
    make = partial_dependence
    return _case("PartialDependence", make, SURFACES, ROWS, keys, failures, many=200)


def _pd_variance() -> ExplainerCase:
    failures = {
        "predictor_is_the_first_argument": "the attribute 'predictor' does not exist",
        "explanation_metadata_is_independent": SAME,
        "explain_leaves_metadata_alone": MUTATES,
        "single_instance_is_a_batch_of_one": ONE,
        "empty_batch_is_defined": EMPTY,
        "loads_in_a_fresh_process": NO_PREDICTOR,
        "saved_files_hold_no_model": NO_PREDICTOR,
        "fitted_state_survives_loading": NO_PREDICTOR,
        "reset_predictor_is_overridden": "reset_predictor is not overridden",
        "another_predictor_leaves_nothing_stale": "reset_predictor is not overridden",
        "saving_twice_works": NO_PREDICTOR,
    }
    keys = defaults.DEFAULT_DATA_PDVARIANCE
    return _case("PartialDependenceVariance", pd_variance, SURFACES, ROWS, keys, failures, many=200)


def _permutation() -> ExplainerCase:
    failures = {
        "explain_leaves_metadata_alone": MUTATES,
        "single_instance_is_a_batch_of_one": ONE,
        "empty_batch_is_defined": EMPTY,
        "explain_leaves_global_random_state": GLOBAL,
        "explain_arguments_survive_json": LISTS,
        **dict.fromkeys(
            (
                "float_types_give_the_same_result",
                "memory_layouts_give_the_same_result",
                "new_instances_agree",
                "second_explain_agrees",
                "loads_in_a_fresh_process",
                "fitted_state_survives_loading",
                "another_predictor_leaves_nothing_stale",
                "threads_agree",
            ),
            UNSEEDED,
        ),
    }
    return _case(
        "PermutationImportance",
        permutation,
        HEIGHTS,
        ROWS,
        defaults.DEFAULT_DATA_PERMUTATION_IMPORTANCE,
        failures,
        explain_kwargs=true_height,
        not_in_params=frozenset({"loss_fns", "score_fns"}),
    )


def _kernel_shap() -> ExplainerCase:
    failures = {
        "explain_before_fit_is_refused": "it raises TypeError",
        "json_holds_no_copy_of_the_input": "data['raw'] holds the instances",
        "explain_leaves_metadata_alone": MUTATES,
        "single_instance_is_a_batch_of_one": ONE,
        "empty_batch_is_defined": EMPTY,
        "fit_leaves_global_random_state": GLOBAL,
    }
    return _case(
        "KernelShap",
        kernel_shap,
        HEIGHTS,
        ROWS[:6],
        defaults.DEFAULT_DATA_KERNEL_SHAP,
        failures,
        fit_args=(ROWS[6:14],),
        explain_kwargs={"silent": True},
        many=60,
        not_run={"threads_agree": "calls share shap's state: it fails or passes by their timing"},
    )


def _tabular() -> ExplainerCase:
    failures = {
        "fit_leaves_global_random_state": GLOBAL,
        "explain_leaves_global_random_state": GLOBAL,
        "second_explain_agrees": GLOBAL,
        "loads_in_a_fresh_process": GLOBAL,
        "fitted_state_survives_loading": GLOBAL,
        "another_predictor_leaves_nothing_stale": GLOBAL,
        "threads_agree": GLOBAL,
        "saved_files_hold_no_model": "its samplers keep the predictor, which is pickled with them",
    }
    return _case(
        "AnchorTabular",
        anchor_tabular,
        CLASSES,
        np.array([1.5, -1.0, 0.3]),
        defaults.DEFAULT_DATA_ANCHOR,
        failures,
        fit_args=(ROWS,),
        explain_kwargs={"threshold": 0.8},
        batched=False,
    )


def _image() -> ExplainerCase:
    failures = {
        "init_leaves_global_random_state": GLOBAL,
        "explain_leaves_global_random_state": GLOBAL,
    }
    return _case(
        "AnchorImage",
        anchor_image,
        CORNERS,
        IMAGE,
        defaults.DEFAULT_DATA_ANCHOR_IMG,
        failures,
        explain_kwargs={"threshold": 0.8, "p_sample": 0.5},
        not_in_params=frozenset({"segmentation_fn"}),
        batched=False,
    )


GRADIENTS = {
    "class_is_an_alibi_explainer": "it has fit, but does not derive from FitMixin",
    "explain_before_fit_is_refused": "it raises ValueError",
    "json_holds_no_copy_of_the_input": "ten training instances are copied for each instance",
    "representations_stay_short": "training instances are copied and written in full",
    "explanation_metadata_is_independent": SAME,
    "model_is_left_as_it_was": "it leaves gradients, and trains submodules that were in eval mode",
    "model_is_left_as_it_was_after_a_failure": "it leaves the module in evaluation mode",
    "float_types_give_the_same_result": "float64 ends in torch's error",
    "empty_batch_is_defined": EMPTY,
    "explain_arguments_survive_json": LISTS,
}


def _similarity(name: str = "GradientSimilarity", make: Any = None, **more: Any) -> ExplainerCase:
    return _case(
        name,
        make or gradient_similarity,
        NETS,
        ROWS[:5].astype(np.float32),
        defaults.DEFAULT_DATA_SIM,
        {**GRADIENTS, **more},
        fit_args=(ROWS[5:].astype(np.float32), ROWS[5:, :1].astype(np.float32)),
        explain_kwargs=first_column,
        module=itself,
        not_in_params=frozenset({"loss_fn"}),
        many=60,
        not_run={"threads_agree": "concurrent zero_grad and backward end the process (SIGSEGV)"},
    )


def _similarity_with_stored_gradients() -> ExplainerCase:
    return _similarity(
        "GradientSimilarity with stored gradients",
        stored_gradients,
        saved_files_hold_no_model="a gradient of every parameter is saved per training instance",
        another_predictor_leaves_nothing_stale="gradients of the former model are kept",
    )
