"""Text-to-image models: diffusion models that are told what a prompt says."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pxgen_plugins.models._cross_attention import cross_attention, reader
from pxgen_plugins.models._guided import GuidedDiffusion
from pxgen_plugins.models._networks import Networks
from pxgen_plugins.models._words import Offsets, positions, texts_of
from pxgen_plugins.models.base import register
from pxgen_plugins.models.runtime import Modules, modules_behind
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["TextToImage"]

_IMAGES = ("embed", "noise_loss", "reconstruct")  # what is asked of images
_REMEDY = "Build the TextToImage with encode_latent=f, from images to latents."


@register("text_to_image")
class TextToImage(Networks):
    """A diffusion model of images that reads a prompt by cross-attention or otherwise.

    It is a model of the images under one prompt, by default the empty one; :meth:`bind` gives that
    of another. Denoising is that of :class:`~pxgen_plugins.models.Diffusion`, in the space of
    images or of latents, with classifier-free guidance (Ho and Salimans 2022): of the predictions
    with the prompt, c, and with the empty one, u, each step uses u + guidance (c - u).

    ``noise_loss`` is the error of c alone; latents of an image are those that ``encode_latent``
    gives. ``embed``, ``decode`` and ``reconstruct`` use guidance as samples do.

    Args:
        network: The module, or a function, from noisy rows (n, *latent_shape), timesteps, int64
            (n,), and states of prompts (n, n_tokens, width) to its prediction. An attribute
            ``sample`` of what it returns is taken, as of a ``UNet2DConditionModel``.
        embed_text: The module, or a function, from a list of n prompts to their states, (n,
            n_tokens, width).
        sample_shape: Shape of one image, (channels, height, width).
        latent_shape: Shape of one latent; None where the network works on images.
        decode_latent: From latents to images in ``data_range``; None where it works on images.
        encode_latent: From images to latents: needed for what anchors are asked.
        data_range: Lowest and highest value of an image.
        schedule: See :class:`~pxgen_plugins.models.Diffusion`, as for the arguments up to ``seed``
            that are not named here.
        n_timesteps: Likewise.
        prediction: Likewise.
        steps: Steps of a sample, evenly spaced, or the timesteps themselves.
        end: Signal left after the last step, in (0, 1]; schedulers of diffusers with
            ``set_alpha_to_one=False`` leave a little noise.
        guidance: Strength of guidance, >= 0; 1 asks the network once per step, others twice.
        prompt: What samples show: a prompt, or several, of which each sample has one.
        empty_prompt: What stands for no prompt.
        offsets: Function from a prompt to the place (start, end) in it of each of its n_tokens
            tokens, (0, 0) where one stands for no text; for :meth:`token_positions`.
        refinements: Likewise.
        eta: Likewise.
        clip: Likewise; without effect on latents.
        level: Likewise.
        loss: Likewise.
        seed: Likewise.
        modules: The torch modules inside functions (see :class:`~pxgen_plugins.models.VAE`).
        device: Where the network wants its input; None takes that of the first parameter.
        check: Call the functions on seeded noise and compare shapes and repeatability.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When a function does not give what it should.

    Cost in passes of the network: ``steps`` for a sample, twice that with guidance; else as for
    ``Diffusion``.

    Example:
        >>> import torch
        >>> from pxgen_plugins.models.schedules import linear
        >>> left, words = linear(1000), ["", "bright"]
        >>> def exact(x, t, states):  # for images of one grey value, 0 or 1, plus N(0, I)
        ...     a, mean = left[t][:, None, None, None], states.reshape(-1, 1, 1, 1)
        ...     return ((1 - a).sqrt() * (x - a.sqrt() * mean)).float()
        >>> model = TextToImage(
        ...     exact, lambda prompts: torch.tensor([[[float(words.index(p))]] for p in prompts]),
        ...     modules=(), sample_shape=(1, 2, 2), data_range=None, guidance=1.0)
        >>> dark, bright = (model.sample(99, 0, prompt=prompt) for prompt in words)
        >>> round(float((bright - dark).mean()), 1)
        1.0
    """

    @caller("TextToImage")
    def __init__(
        self,
        network: Callable[[Any, Any, Any], Any],
        embed_text: Callable[[list[str]], Any],
        *,
        sample_shape: tuple[int, ...],
        latent_shape: tuple[int, ...] | None = None,
        decode_latent: Callable[[Any], Any] | None = None,
        encode_latent: Callable[[Any], Any] | None = None,
        data_range: tuple[float, float] | None = (-1.0, 1.0),
        schedule: Any = "linear",
        n_timesteps: int = 1_000,
        prediction: str = "epsilon",
        steps: int | Sequence[int] = 50,
        end: float = 1.0,
        guidance: float = 7.5,
        prompt: str | Sequence[str] = "",
        empty_prompt: str = "",
        offsets: Callable[[str], Offsets] | None = None,
        refinements: int = 1,
        eta: float = 0.0,
        clip: bool = True,
        level: float = 0.25,
        loss: str = "simple",
        seed: int = 0,
        modules: Modules = None,
        device: torch.device | str | None = None,
        check: bool = True,
    ) -> None:
        in_latents = decode_latent is not None
        if in_latents == (latent_shape is None) or (encode_latent is not None and not in_latents):
            allowed = "given together with latent_shape, and before encode_latent"
            hint = "Leave all three out where the network works on images."
            raise ParameterError("decode_latent", allowed, short_repr(decode_latent), hint)
        functions = {"decode_latent": decode_latent, "encode_latent": encode_latent}
        functions = {role: f for role, f in functions.items() if f is not None}
        self._embed = validation.function(embed_text, "embed_text", "embed_text(prompts)")
        called = {"network": network, "embed_text": embed_text}
        roots = modules_behind(called | functions, modules)
        super().__init__(
            None,
            functions,
            latent_shape=sample_shape if latent_shape is None else latent_shape,
            sample_shape=sample_shape,
            data_range=data_range,
            modules=roots,
            device=device,
        )
        self.guidance = validation.real(guidance, "guidance", minimum=0.0)
        self.empty_prompt = texts_of(empty_prompt, "empty_prompt")[0]
        self.prompts = texts_of(prompt, "prompt")
        self._rows: tuple[str, ...] | None = None  # of the instances that are asked about
        self._offsets = offsets
        self.network = network if isinstance(network, nn.Module) else reader(roots)
        states = self.embed_text([self.empty_prompt])
        self.n_tokens = states.shape[1]
        self._diffusion = GuidedDiffusion(
            network,
            unprompted=partial(self._states, [self.empty_prompt]),  # no closure: it deep-copies
            guidance=guidance,
            steps=steps,
            end=end,
            sample_shape=self.latent_shape,
            data_range=None if in_latents else data_range,
            schedule=schedule,
            n_timesteps=n_timesteps,
            prediction=prediction,
            refinements=refinements,
            eta=eta,
            clip=clip,
            level=level,
            loss=loss,
            seed=seed,
            modules=roots,
            device=device,
            check=check,
        )
        self._declare()
        if validation.boolean(check, "check"):
            with torch.no_grad(), self._evaluating():
                self._check()

    @property
    def prompt(self) -> str | tuple[str, ...]:
        """What samples show: the prompt, or several."""
        return self.prompts[0] if len(self.prompts) == 1 else self.prompts

    @property
    def cross_attention(self) -> dict[str, nn.Module]:
        """The named modules of the network that read the states of a prompt."""
        return cross_attention(self.network)

    @caller("TextToImage.bind")
    def bind(self, prompt: str | Sequence[str]) -> TextToImage:
        """Return the model of the images under a prompt, around the same networks.

        Args:
            prompt: The prompt. Of several, each sample shows one, drawn at random; an instance is
                then judged under its own, as of anchors with a column ``prompt``.

        Raises:
            ParameterError: When it is no text, or none is given.
        """
        return self._with(prompts=texts_of(prompt, "prompt"), _rows=None)

    def for_rows(self, prompts: Sequence[str]) -> TextToImage:
        """Return the model whose methods take n instances, each under its own of n prompts."""
        return self._with(_rows=tuple(prompts))

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        """Return the states of prompts, (n, n_tokens, width).

        Raises:
            ParameterError: When ``prompts`` are no texts.
            ModelError: When ``embed_text`` does not give such a tensor.
        """
        texts = list(texts_of(prompts, "prompts"))
        with self._evaluating():
            states = self._embed(texts)
        if not isinstance(states, Tensor) or states.ndim != 3 or len(states) != len(texts):
            allowed = f"of shape ({len(texts)}, n_tokens, width)"
            hint = "Return the last hidden states of the text encoder."
            raise ModelError("embed_text's result", allowed, short_repr(states), hint)
        return self._put(states)

    @caller("TextToImage.token_positions")
    def token_positions(self, prompt: str, words: str | Sequence[str]) -> list[int]:
        """Return where the tokens of words are in the states of a prompt, in rising order.

        Args:
            prompt: The prompt.
            words: A word, or several in a row, as in ``"van gogh"``; or a list of such. Upper and
                lower case are the same, and every place where they stand as whole words counts.

        Raises:
            ParameterError: When words are not in the prompt.
            ModelError: When the model was built without ``offsets``.
        """
        if self._offsets is None:
            hint = "Build it with offsets=f, from a prompt to the place of each token in it."
            raise ModelError("offsets", "given, to find the tokens of words", "None", hint)
        (text,) = texts_of(prompt, "prompt")
        return positions(text, texts_of(words, "words"), list(self._offsets(text)))

    def noise(self, n: int, seed: int, first: int = 0) -> Tensor:
        """Return the noise that samples begin with, (n, *latent_shape); row i is that of any n."""
        return self._put(normal_rows(first, n, self.latent_shape, seed))

    def sample_prompts(self, n: int, seed: int) -> list[str]:
        """Return the prompts of ``sample(n, seed)``: of several, each equally often on average."""
        if len(self.prompts) == 1:
            return [self.prompts[0]] * n
        drawn = np.random.default_rng(derive(seed, "prompts")).integers(len(self.prompts), size=n)
        return [self.prompts[k] for k in drawn]

    @caller("TextToImage.sample")
    def sample(
        self,
        n: int,
        seed: int,
        prompt: str | Sequence[str] | None = None,
        guidance: float | None = None,
        first: int = 0,
    ) -> Tensor:
        """Return ``n`` images, (n, *sample_shape).

        Args:
            n: How many.
            seed: Seed of the noise, which is the same whatever the prompt.
            prompt: One prompt, or n; None takes the model's own.
            guidance: Strength of guidance; None takes the model's.
            first: Images ``first`` to ``first + n`` of the seed, to draw many in parts.

        Raises:
            ParameterError: When an argument is not allowed.
        """
        first = validation.integer(first, "first", minimum=0)
        own = self.sample_prompts(first + n, seed)[first:]
        texts = own if prompt is None else list(texts_of(prompt, "prompt"))
        texts = texts * n if len(texts) == 1 else texts
        if len(texts) != n:
            hint = "Give one for all, or one for each image."
            raise ParameterError("prompt", f"one, or {n}", str(len(texts)), hint)
        if guidance is not None:
            guidance = validation.real(guidance, "guidance", minimum=0.0)
        diffusion = self._diffusion.guided(self.guidance if guidance is None else guidance)
        with torch.no_grad():
            noise = self.noise(n, seed, first)
            latents = diffusion.draw(noise, self._states(texts), seed, first)
            return self._in_parts(self._images, latents)

    def decode(self, z: Tensor) -> Tensor:
        """Return the images that noise ``z`` becomes, without further noise."""
        return self._images(self._diffusion.denoise(z, self._states_of(z)))

    def embed(self, x: Tensor) -> Tensor:
        """Return the noise that is denoised to ``x``, (n, *latent_shape); see ``Diffusion``."""
        self._expect("embed")
        with torch.no_grad():
            return self._diffusion.invert(self._latents(x), self._states_of(x))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return ``x`` after noise up to ``level`` was added and taken away under the prompt."""
        self._expect("reconstruct")
        return self._images(self._diffusion.renew(self._latents(x), self._states_of(x)))

    @caller("TextToImage.noise_loss")
    def noise_loss(self, x: Tensor, t: float, seed: int) -> Tensor:
        """Return the loss of each instance under its prompt, without guidance, (n,).

        Raises:
            ParameterError: When ``t`` lies outside [0, 1].
        """
        self._expect("noise_loss")
        t = validation.real(t, "t", minimum=0.0, maximum=1.0)
        return self._diffusion.conditional_loss(self._latents(x), self._states_of(x), t, seed)

    def _declare(self) -> None:
        have = {"sample", "decode", "layers", "prompt"}
        if "decode_latent" not in self._calls or "encode_latent" in self._calls:
            have |= set(_IMAGES)
        have |= {"cross_attention"} if self.cross_attention else set()
        self.capabilities = frozenset(have)
        self.remedies = dict.fromkeys(_IMAGES, _REMEDY)
        each = 1 if self.guidance == 1.0 else 2
        costs = {role: each * n for role, n in self._diffusion.costs.items()}
        coder = {"decode": "decode_latent", "sample": "decode_latent", "embed": "encode_latent"}
        for role, used in coder.items():
            costs[role] += int(used in self._calls)
        costs["reconstruct"] += len(self._calls)
        self.costs = costs | {"noise_loss": 1 + int("encode_latent" in self._calls)}

    def _expect(self, capability: str) -> None:
        if capability not in self.capabilities:
            raise self._refusal(capability)

    def _with(self, **attributes: Any) -> TextToImage:
        other = copy.copy(self)
        vars(other).update(attributes)
        return other

    def _states_of(self, x: Tensor) -> Tensor:
        """Return the states of the prompt of each instance."""
        rows = self._rows
        if rows is None and len(self.prompts) == 1:
            rows = self.prompts * len(x)
        if rows is None:
            hint = "Use model.bind(prompt), or give PXGen anchors with a column 'prompt'."
            got = f"a model of {len(self.prompts)} prompts"
            raise ModelError("prompt", "known for each instance", got, hint)
        if len(rows) != len(x):
            hint = "Ask for_rows with the prompts of these instances."
            raise ModelError("prompts", f"one for each of {len(x)} rows", str(len(rows)), hint)
        return self._states(list(rows))

    def _states(self, prompts: list[str]) -> Tensor:
        """Return the states of prompts, each different one embedded once."""
        different = list(dict.fromkeys(prompts))
        with torch.no_grad():
            states = self.embed_text(different) if different else self._states([""])[:0]
        if len(different) == 1:
            return states.expand(len(prompts), *states.shape[1:])
        place = {prompt: k for k, prompt in enumerate(different)}
        return states[[place[prompt] for prompt in prompts]]

    def _images(self, z: Tensor) -> Tensor:
        return self._instances_from("decode_latent", z) if "decode_latent" in self._calls else z

    def _latents(self, x: Tensor) -> Tensor:
        return self._codes_from("encode_latent", x) if "encode_latent" in self._calls else x

    def _check(self) -> None:
        once, twice = (self.embed_text([self.empty_prompt] * n) for n in (1, 2))
        self._check_finite("embed_text's result", once, "the empty prompt")
        self._check_repeatable("embed_text", once, twice[1:])
        if "decode_latent" in self._calls:
            self._check_instances("decode_latent", self._images, self._random_codes())
        if "encode_latent" in self._calls:
            self._check_codes("encode_latent", self._latents)

    @classmethod
    def example(cls) -> TextToImage:
        """Return a model of four grey values, told by a prompt how bright they are."""
        from pxgen_plugins.models.schedules import linear

        left, words = linear(100), {"": 0.0, "bright": 0.5}

        def network(x: Tensor, t: Tensor, states: Tensor) -> Tensor:
            a, mean = (v.to(x.dtype).reshape(-1, 1, 1, 1) for v in (left[t], states[:, 0, 0]))
            return (1 - a).sqrt() * (x - a.sqrt() * mean) / (a * 0.04 + 1 - a)

        def embed_text(prompts: list[str]) -> Tensor:
            return torch.tensor([[[words[prompt]]] for prompt in prompts])

        settings: dict[str, Any] = {"schedule": left, "steps": 5, "prompt": "bright"}
        return cls(network, embed_text, sample_shape=(1, 2, 2), modules=(), guidance=2, **settings)

    def __repr__(self) -> str:
        return (
            f"TextToImage(sample_shape={self.sample_shape}, latent_shape={self.latent_shape}, "
            f"guidance={self.guidance:g}, prompt={short_repr(self.prompt)})"
        )
