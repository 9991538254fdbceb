"""What tells the anchors of one group from those of another, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from pxgen_plugins.adapters._anchors import AnchorReader, Indices
from pxgen_plugins.adapters._groups import group_names
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.language.base import LanguageAdapter, conclusions
from pxgen_plugins.adapters.language.interview import Rules, Subject, interview
from pxgen_plugins.adapters.language.matching import LETTERS, NOBODY, Choices
from pxgen_plugins.adapters.language.prompts import groups_prompt
from pxgen_plugins.adapters.language.strips import pictures
from pxgen_plugins.describers import film
from pxgen_plugins.describers.base import Picture
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.host import Explanation
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, short_repr
from pxgen_plugins.utils.seeds import derive

__all__ = ["GroupDescription"]

_FEWEST = 4  # members of a group: half are described, half are new in the match test
_MOST = 500  # members of a group that are drawn from


@register("group_description")
@dataclass(repr=False, eq=False)
class GroupDescription(LanguageAdapter):
    """Two groups of anchors in words: what tells the first from the second.

    The questions, and what is made of the answers, are those of
    :class:`~pxgen_plugins.adapters.language.description.LatentDescription`. A film shows members of
    one group; null films show members of both, mixed, so that the guarantee of the p-value is that
    of a permutation test. In the match test half of the films are of each group, all of anchors
    that were not described: the sentence must find one of its group more often than by chance, and
    more often than a sentence that fits neither.

    Args:
        predictor: The model.
        describe: A describer, ``describe(images, prompt, *, seed) -> str``.
        pair: Two groups: the sentence says what the first has and the second has not.
        n_steps: Anchors in a film, >= 1.
        n_match: Questions of the match test, >= 1.
        n_answers, agreement, alpha, least, n_null, n_choices, context, synonyms, folder, seed,
            batch_size, verbose: See
            :class:`~pxgen_plugins.adapters.language.base.LanguageAdapter`.

    Fields:
        axes (list of str): One label, as in "HILE against HIHE"; what is said of the pair stands in
            lists and arrays of one entry.
        sentence (list of str): What the first group has and the second has not; "no clear
            explanation" or "no answer" where there is none.
        attribute, direction (list of str): The same in common words: what changes, and which way;
            "" where it is not clear.
        status (list of str): ``"clear"``, ``"unclear"`` or ``"missing"`` (answers are).
        confirmed (bool (1,)): Whether the sentence is clear, and found its film more often than by
            chance and more often than that film is chosen for other sentences.
        certainty (float64 (1,)): Mean agreement of two answers, in [0, 1]; NaN where fewer than two
            came.
        p_value (float64 (1,)): Its conformal p-value; lower = less likely for films in which
            nothing can be found. NaN where ``certainty`` is, and where too few null films were
            answered for any to be clear.
        threshold (float): The certainty that a clear one exceeds; None where too few null films
            were answered.
        least (float): The certainty that a clear one has at least.
        null_certainty (float64 (m,)): Certainties about the m null films; NaN for those with fewer
            than two answers.
        hit_rate (float64 (1,)): Share of the match questions in which the sentence found its film,
            in [0, 1]; NaN where none was answered.
        hit_interval (float64 (1, 2)): Its exact 95% interval; (0, 1) without answers.
        n_match (int64 (1,)): Match questions that were answered; 0 where none.
        control_rate (float64 (1,)): Share of the questions with another sentence in which its film
            was chosen; NaN where none was answered.
        chance (float): The rate of guessing.
        answers (list of list): The answers that came, in common words and forward order:
            ``changes``, ``attribute``, ``direction``, ``sentence`` and ``confidence``; None for one
            that could not be read.
        missing (list of str): Why answers are missing, those about null films and of the match test
            included; "" where none is.
        strips (float32 (1, 2, s, *sample_shape)): s members of the second group, then s of the
            first.
        visible_change, directions, strength, keep, span (None): Set for latent axes only.
        questions (list of dict): Every question that was asked, and its answer: ``about``, the
            number of its ``prompt``, ``n_images``, ``seed``, ``answer`` (None where it failed) and
            ``error``.
        prompts (list of str): The texts of the questions, each once.
        n_calls (int): Calls of the describer, answers kept in ``folder`` included.
        n_images (int): Pictures in them.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed.

    Cost: ``(1 + n_null) n_answers + 2 n_match`` calls of the describer, none of the model.
    """

    access = "black box"
    example: ClassVar[Mapping[str, Any]] = {}

    _: KW_ONLY
    pair: Sequence[str] = ("HILE", "HIHE")
    n_steps: int = 5
    n_match: int = 10

    def _check(self) -> None:
        super()._check()
        pair = self.pair
        texts = isinstance(pair, (list, tuple)) and all(isinstance(name, str) for name in pair)
        if not texts or len(set(pair)) != 2 or len(pair) != 2:
            hint = "As in ('HILE', 'HIHE'): what has HILE that HIHE has not?"
            raise ParameterError("pair", "two groups", short_repr(pair), hint)
        self.pair = tuple(pair)
        self.n_steps = validation.integer(self.n_steps, "n_steps", minimum=1)
        self.n_match = validation.integer(self.n_match, "n_match", minimum=1)

    def _params(self) -> dict[str, Any]:
        return {**super()._params(), "pair": list(self.pair)}

    def estimate(self) -> dict[str, int]:
        """Return calls and images of ``explain``, and the calls where all answers are repaired."""
        bound = self.bound()
        return {**bound, "most_calls": 2 * bound["calls"]}

    def bound(self) -> dict[str, int]:
        """Return the most calls and images of ``explain``."""
        rules = self._rules()
        return {"calls": rules.n_calls(1), "images": rules.n_images(1, 2)}

    def _rules(self) -> Rules:
        right = self.n_choices // 2
        return self.rules(self.n_steps, self.n_match, n_right=right, groups=True)

    def explain(self, X: Any, groups: Any = None, **kwargs: Any) -> Explanation:
        """Return what tells the groups apart.

        Args:
            X: The anchors, as for :meth:`Adapter.explain`.
            groups: One name per anchor, as in ``groups=explanation.group``.
            kwargs: Further options of the anchors.

        Raises:
            ParameterError: Without groups.
            AnchorError: When there are too few members of a group.
        """
        return super().explain(X, groups=groups, **kwargs)

    def _explain(self, X: Any, groups: Any = None) -> dict[str, Any]:
        """Return what tells the groups apart; ``groups`` has one name per anchor of ``X``."""
        reader = AnchorReader(X, self.predictor, self.batch_size)
        names = group_names(groups, len(reader))
        if names is None:
            hint = f"Give one name per anchor, as in groups=explanation.group ({GROUPS[0]}, ...)."
            raise ParameterError("groups", "given", "None", hint)
        usable = reader.usable()
        # film A shows the second group, film B the first: the way from A to B is what the first has
        first, second = (self._members(usable, names, name) for name in self.pair)
        rows = {
            int(i): one
            for index, x in reader.batches(np.sort(np.concatenate([first, second])))
            for i, one in zip(index, x.float().cpu().numpy().copy(), strict=True)
        }
        films = _GroupFilms(self, rows, second, first)
        label = f"{self.pair[0]} against {self.pair[1]}"
        prompt = groups_prompt(self.n_steps, self.context)
        subject = Subject(label, prompt, films.shown, films.choices)
        rules = self._rules()
        with self.questions(rules.n_calls(1)) as questions:
            found = interview(questions, [subject], films.null, rules)
        halves = [films.drawn(part, 0, "strips") for part in (second, first)]
        strips = [np.stack([rows[int(i)] for i in part]) for part in halves]
        return {
            "axes": [label],
            "strips": np.stack(strips)[None],
            **conclusions(found, [0], 1, self.alpha, self.least),
            **self.costs(questions),
            **reader.exclusions(),
        }

    def _members(self, usable: Indices, names: Any, name: str) -> Indices:
        members = usable[names[usable] == name]
        if len(members) < _FEWEST:
            hint = "Give more anchors, or another pair."
            raise AnchorError(
                "groups", f"of {_FEWEST} usable anchors at least", f"{len(members)} in {name}", hint
            )
        order = np.random.default_rng(derive(self.seed, "members", name)).permutation(len(members))
        chosen: Indices = members[order[:_MOST]]
        return chosen


@dataclass(frozen=True)
class _GroupFilms:
    """The films of two groups, the first half of each for answers, the second for matching.

    Attributes:
        adapter: Whose arguments count.
        rows: Instances by index.
        one: Members of the group of film A, in random order.
        other: Members of the group of film B.
    """

    adapter: GroupDescription
    rows: Mapping[int, Any]
    one: Indices
    other: Indices

    @property
    def _n(self) -> int:
        """Members of each group that are described: equally many, as in a random split."""
        return min(len(self.one), len(self.other)) // 2

    def drawn(self, members: Indices, q: int, what: str, *, new: bool = False) -> Indices:
        """Return members of one half for a film, without repetition where there are enough."""
        pool = members[len(members) // 2 :] if new else members[: self._n]
        rng = np.random.default_rng(derive(self.adapter.seed, what, q, int(members[0])))
        n = self.adapter.n_steps
        chosen: Indices = rng.choice(pool, n, replace=len(pool) < n)
        return chosen

    def shown(self, q: int, turned: bool) -> list[Picture]:
        """Return film A and film B; the other way round where ``turned``."""
        parts = [self.drawn(part, q, "shown") for part in (self.one, self.other)]
        return self._films(parts[::-1] if turned else parts)

    def null(self, i: int, q: int, turned: bool) -> list[Picture]:
        """Return two films of both groups, mixed anew for every null."""
        pool = np.concatenate([part[: self._n] for part in (self.one, self.other)])
        rng = np.random.default_rng(derive(self.adapter.seed, "null", i))
        split = rng.permutation(pool)
        sides = [split[: self._n], split[self._n :]]
        rng = np.random.default_rng(derive(self.adapter.seed, "null films", i, q))
        size = self.adapter.n_steps
        parts = [rng.choice(side, size, replace=len(side) < size) for side in sides]
        return self._films(parts[::-1] if turned else parts)

    def choices(self, i: int, place: int) -> Choices:
        """Return films of new members: of the group of film B from a place on, else of the other.

        Of both about as many: the only film of its kind is found without any sentence.
        """
        k = self.adapter.n_choices
        of = [NOBODY] * k
        for at in range(k // 2):
            of[(place + at) % k] = 0
        parts = [
            self.drawn(self.one if at == NOBODY else self.other, k * i + j, "choices", new=True)
            for j, at in enumerate(of)
        ]
        return Choices(self._films(parts), of)

    def _films(self, parts: Sequence[Indices]) -> list[Picture]:
        instances = np.stack([self.rows[int(i)] for part in parts for i in part])
        shown = pictures(instances, self.adapter.predictor.data_range)
        n = self.adapter.n_steps
        return [film(shown[n * at : n * (at + 1)], LETTERS[at]) for at in range(len(parts))]
