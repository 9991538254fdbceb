"""Ways to break the good explainer, one each, with the checks that must notice."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import numpy as np
import torch
from alibi.api.interfaces import Explainer, Explanation

from .toy import FEATURES, Toy, ToyWithoutMixin

DEFAULT_META_MUTANT: dict[str, Any] = {"used": 0}
SHARED: dict[str, Any] = {}


class OtherFirstArgument(Toy):
    def __init__(self, model: Any, seed: int = 0, batch_size: int = 4, verbose: bool = False):
        super().__init__(model, seed, batch_size, verbose)


class OwnVersionInAlibisPlace(Toy):
    def __init__(self, predictor: Any, seed: int = 0, batch_size: int = 4, verbose: bool = False):
        super().__init__(predictor, seed, batch_size, verbose)
        self.meta["version"] = self.meta["params"].pop("toy_version")


class ForgetsItsSeed(Toy):
    def __init__(self, predictor: Any, seed: int = 0, batch_size: int = 4, verbose: bool = False):
        super().__init__(predictor, seed, batch_size, verbose)
        del self.meta["params"]["seed"]


class TensorInMeta(Toy):
    def fit(self, X: Any) -> Toy:
        self.meta["params"]["scale_of_fit"] = torch.ones(1)
        return super().fit(X)


class SharedParams(Toy):
    def __init__(self, predictor: Any, seed: int = 0, batch_size: int = 4, verbose: bool = False):
        super().__init__(predictor, seed, batch_size, verbose)
        self.meta["params"]["shared"] = SHARED


class WritesToDefaults(Toy):
    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        DEFAULT_META_MUTANT["used"] += 1
        return super().explain(X, scale)


class FitReturnsNothing(Toy):
    def fit(self, X: Any) -> None:  # type: ignore[override]
        super().fit(X)


class UnfittedValueError(Toy):
    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        if self.threshold is None:
            raise ValueError("fit first")
        return super().explain(X, scale)


class _Changed(Toy):
    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        explanation = super().explain(X, scale)
        return self.change(explanation, np.asarray(X))

    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        raise NotImplementedError


class LongRepr(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        data = {**explanation.data, "score": list(explanation.data["score"])}
        return Explanation(meta=explanation.meta, data=data)


class DerivedExplanation(Explanation):
    """Its JSON is not Alibi's."""

    def to_json(self) -> str:
        return str(super().to_json()) + " "


class OtherResultClass(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        return DerivedExplanation(meta=explanation.meta, data=explanation.data)


class MissingKey(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        data = {key: value for key, value in explanation.data.items() if key != "noise"}
        return Explanation(meta=explanation.meta, data=data)


class HiddenKey(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        data = {**explanation.data, "name": "hidden"}
        return Explanation(meta=explanation.meta, data=data)


class NumpyBool(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        explanation.data["threshold"] = np.bool_(True)
        explanation.threshold = explanation.data["threshold"]
        return explanation


class BareNaN(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        if not np.isfinite(X).all():
            explanation.data["noise"] = float("nan")
        return explanation


class CopiesItsInput(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        data = {**explanation.data, "noise": [explanation.data["noise"], X, X]}
        return Explanation(meta=explanation.meta, data=data)


class OwnMetaOnly(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        return Explanation(meta={"name": "Toy", "params": {}}, data=explanation.data)


class SharedMeta(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        return Explanation(meta=self.meta, data=explanation.data)


class WritesToOwnMeta(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        self.meta["params"]["scale"] = explanation.meta["params"]["scale"]
        return explanation


class ModifiesItsInput(Toy):
    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        explanation = super().explain(X, scale)
        if X.flags.writeable:
            X *= 1.0 + 1e-12
        return explanation


class ChangesFlags(Toy):
    def _scores(self, X: np.ndarray) -> np.ndarray:
        self._model.eval()
        scores = super()._scores(X)
        self._model.train()
        return scores


class LeavesGradients(Toy):
    def _scores(self, X: np.ndarray) -> np.ndarray:
        scores = super()._scores(X)
        self._model(torch.zeros(1, FEATURES, dtype=torch.float64)).sum().backward()
        return scores


class LeavesEvaluationModeAfterAFailure(Toy):
    def _scores(self, X: np.ndarray) -> np.ndarray:
        flags = [(part, part.training) for part in self._model.modules()]
        self._model.eval()
        scores = super()._scores(X)
        for part, flag in flags:
            part.training = flag
        return scores


class Float32Differs(Toy):
    def _scores(self, X: np.ndarray) -> np.ndarray:
        return super()._scores(X) + (0.1 if X.dtype == np.float32 else 0.0)


class BreaksOnStrides(Toy):
    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        return super().explain(np.frombuffer(X.tobytes("A"), X.dtype).reshape(X.shape), scale)


class BreaksOnOneInstance(Toy):
    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        X.shape[1]
        return super().explain(X, scale)


class BreaksOnNone(Toy):
    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        np.max(X)
        return super().explain(X, scale)


class DependsOnBatches(Toy):
    def _scores(self, X: np.ndarray) -> np.ndarray:
        return super()._scores(X) + 1e-3 * self.batch_size


class IgnoresBatchSize(Toy):
    def _scores(self, X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self._model(torch.tensor(X, dtype=torch.float64)).numpy()


class DrawsGlobally(Toy):
    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        torch.rand(1)
        return super().explain(X, scale)


class SeedsGlobally(Toy):
    def __init__(self, predictor: Any, seed: int = 0, batch_size: int = 4, verbose: bool = False):
        np.random.set_state(np.random.RandomState(seed).get_state(legacy=True))  # noqa: NPY002
        super().__init__(predictor, seed, batch_size, verbose)


class FitDrawsGlobally(Toy):
    def fit(self, X: Any) -> Toy:
        np.random.standard_normal()  # noqa: NPY002
        return super().fit(X)


class GlobalNoise(_Changed):
    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        explanation.data["noise"] += torch.rand(1).item()
        return explanation


class SecondCallDiffers(_Changed):
    calls = 0

    def change(self, explanation: Explanation, X: np.ndarray) -> Explanation:
        self.calls += 1
        explanation.data["noise"] += self.calls
        return explanation


class IgnoresItsSeed(Toy):
    def __init__(self, predictor: Any, seed: int = 0, batch_size: int = 4, verbose: bool = False):
        super().__init__(predictor, seed, batch_size, verbose)
        self.seed = 0


class DropsStateWhenSaved(Toy):
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "threshold": None}


class SavesTheModel(Toy):
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "copy": self._model}


class CannotReset(Toy):
    reset_predictor = Explainer.reset_predictor


class KeepsStaleState(Toy):
    def reset_predictor(self, predictor: Any) -> None:
        self._model = predictor


class RefusesNone(Toy):
    @property
    def predictor(self) -> Any:
        return self._model


class LosesThePredictor(Toy):
    @property
    def predictor(self) -> Any:
        return self._model

    @predictor.setter
    def predictor(self, value: Any) -> None:
        self._model = value


class PicklesEverything(LosesThePredictor):
    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)


class SharesAScratchpad(Toy):
    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        self.scratch = X
        time.sleep(0.005)  # lets other threads write theirs
        return super().explain(self.scratch, scale)


class OptionalInput(Toy):
    def explain(self, X: Any = None, scale: float = 1.0) -> Explanation:
        return super().explain(X, scale)


class ArrayArgument(Toy):
    def explain(self, X: Any, scale: Any = 1.0) -> Explanation:
        return super().explain(X, float(scale.item()))


class Prints(Toy):
    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        sys.stderr.write("explaining\n")
        return super().explain(X, scale)


class ConfiguresLogging(Toy):
    def fit(self, X: Any) -> Toy:
        logging.getLogger().addHandler(logging.NullHandler())
        return super().fit(X)


class CEM(Toy):
    """A name that alibi refuses to save."""


SAVING = {"loads_in_a_fresh_process", "fitted_state_survives_loading", "saving_twice_works"}

MUTANTS: dict[type, set[str]] = {
    ToyWithoutMixin: {"class_is_an_alibi_explainer"},
    OtherFirstArgument: {"predictor_is_the_first_argument"},
    OwnVersionInAlibisPlace: {"metadata_has_the_five_keys", "own_version_is_recorded"},
    ForgetsItsSeed: {"init_arguments_are_in_params"},
    TensorInMeta: {
        "metadata_is_json_at_every_stage",
        "values_are_plain",
        "json_round_trip_keeps_values",
    },
    SharedParams: {"instances_share_no_metadata"},
    WritesToDefaults: {"default_tables_stay_unchanged"},
    FitReturnsNothing: {"fit_returns_self"},
    UnfittedValueError: {"explain_before_fit_is_refused"},
    LongRepr: {"representations_stay_short"},
    OtherResultClass: {"result_is_alibis_explanation"},
    MissingKey: {"result_is_alibis_explanation"},
    HiddenKey: {"data_keys_are_attributes"},
    NumpyBool: {"values_are_plain"},
    BareNaN: {"json_is_strict"},
    CopiesItsInput: {"json_holds_no_copy_of_the_input"},
    OwnMetaOnly: {"explanation_metadata_is_a_superset"},
    SharedMeta: {"explanation_metadata_is_independent"},
    WritesToOwnMeta: {"explain_leaves_metadata_alone"},
    ModifiesItsInput: {"input_is_not_modified"},
    ChangesFlags: {"model_is_left_as_it_was"},
    LeavesGradients: {"model_is_left_as_it_was"},
    LeavesEvaluationModeAfterAFailure: {"model_is_left_as_it_was_after_a_failure"},
    Float32Differs: {"float_types_give_the_same_result"},
    BreaksOnStrides: {"memory_layouts_give_the_same_result"},
    BreaksOnOneInstance: {"single_instance_is_a_batch_of_one"},
    BreaksOnNone: {"empty_batch_is_defined"},
    DependsOnBatches: {"batch_size_does_not_matter"},
    IgnoresBatchSize: {"batches_stay_as_small_as_asked"},
    DrawsGlobally: {"explain_leaves_global_random_state"},
    SeedsGlobally: {"init_leaves_global_random_state"},
    FitDrawsGlobally: {"fit_leaves_global_random_state"},
    GlobalNoise: {"new_instances_agree", "explain_leaves_global_random_state"},
    SecondCallDiffers: {"second_explain_agrees"},
    IgnoresItsSeed: {"another_seed_differs"},
    DropsStateWhenSaved: {"fitted_state_survives_loading", "loads_in_a_fresh_process"},
    SavesTheModel: {"saved_files_hold_no_model", "saved_state_holds_no_tensor"},
    CannotReset: {"reset_predictor_is_overridden", *SAVING},
    KeepsStaleState: {"another_predictor_leaves_nothing_stale"},
    RefusesNone: {"predictor_can_be_none", *SAVING},
    LosesThePredictor: {"failed_write_keeps_the_predictor"},
    PicklesEverything: {"failed_pickling_keeps_the_predictor"},
    SharesAScratchpad: {"threads_agree"},
    OptionalInput: {"explain_takes_the_input_first"},
    ArrayArgument: {"explain_arguments_survive_json"},
    Prints: {"use_is_silent"},
    ConfiguresLogging: {"logging_is_not_configured"},
    CEM: {"class_name_is_free", *SAVING},
}
