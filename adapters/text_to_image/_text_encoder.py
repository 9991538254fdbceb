"""The layers of a text encoder: noise on some words, and what layers return without it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.adapters._hooks import watch
from pxgen_plugins.adapters._isolation import roots
from pxgen_plugins.utils.errors import ModelError

__all__ = ["TextEncoder", "text_encoder"]


@dataclass(frozen=True)
class TextEncoder:
    """How a model reads prompts.

    Attributes:
        model: The model.
        embedding: The table of token embeddings.
        layers: Blocks, and the attention and the perceptron inside each, by name, first run first.
    """

    model: Any
    embedding: nn.Embedding
    layers: Mapping[str, nn.Module]

    @property
    def spread(self) -> float:
        """Standard deviation of the elements of the token embeddings."""
        return float(self.embedding.weight.detach().float().std())

    def states(
        self,
        prompt: str,
        n: int,
        noise: tuple[Sequence[int], Tensor] | None = None,
        put_back: tuple[str, Sequence[int], Tensor] | None = None,
    ) -> Tensor:
        """Return n states of a prompt, (n, n_tokens, width).

        Args:
            prompt: The prompt.
            n: How often it is encoded.
            noise: Tokens, and what is added to their embeddings, (n, tokens, d).
            put_back: A layer, tokens, and what it returns there, (1, n_tokens, d).
        """
        with ExitStack() as stack:
            if noise is not None:
                tokens, added = noise

                def disturb(output: Tensor) -> Tensor:
                    output = output.clone()
                    output[:, list(tokens)] += added.to(output)
                    return output

                stack.enter_context(_changed(self.embedding, disturb))
            if put_back is not None:
                name, places, clean = put_back

                def restore(output: Tensor) -> Tensor:
                    output = output.clone()
                    output[:, list(places)] = clean[:, list(places)].to(output)
                    return output

                stack.enter_context(_changed(self.layers[name], restore))
            with torch.no_grad():
                states: Tensor = self.model.embed_text([prompt] * n)
        return states

    def outputs(self, prompt: str) -> dict[str, Tensor]:
        """Return what every layer returns for a prompt, (1, n_tokens, d) each."""
        found: dict[str, Tensor] = {}

        def keep(name: str, output: Any) -> None:
            found[name] = _first(output).detach().clone()

        with watch(self.layers, keep):
            self.states(prompt, 1)
        return found


def text_encoder(model: Any, prompt: str) -> TextEncoder:
    """Return the layers that read a prompt.

    The table of token embeddings is the one that is asked for other rows for the empty prompt.
    Layers are the members of lists of modules, and what in them has layers of its own.

    Raises:
        ModelError: When no table of embeddings is asked for the tokens.
    """
    modules = {
        name: module
        for place, root in enumerate(roots(model))
        for name, module in root.named_modules(prefix="" if place == 0 else str(place))
    }
    asked: list[dict[str, Tensor]] = []
    returned: dict[str, Any] = {}
    tables = {name: one for name, one in modules.items() if isinstance(one, nn.Embedding)}
    for text in (model.empty_prompt, prompt):
        with _inputs(tables) as inputs, watch(modules, lambda k, out: returned.update({k: out})):
            states = model.embed_text([text])
        asked.append(inputs)
    n_tokens = int(states.shape[1])
    found = [
        tables[name]
        for name, rows in asked[1].items()
        if rows.shape[-1] == n_tokens
        and not (name in asked[0] and torch.equal(rows, asked[0][name]))
    ]
    if not found:
        hint = "Give the model its text encoder as a torch module, in modules=."
        allowed = "a torch module that looks tokens up in an Embedding"
        raise ModelError("text encoder", allowed, "none that runs in embed_text", hint)
    blocks = [
        f"{name}.{place}" if name else place
        for name, module in modules.items()
        if isinstance(module, nn.ModuleList)
        for place, _ in module.named_children()
    ]
    layers = {
        name: modules[name]
        for name, output in returned.items()
        if (name in blocks or (name.rpartition(".")[0] in blocks and len(_parts(modules[name]))))
        and _first(output) is not None
        and _first(output).shape[:2] == (1, n_tokens)
    }
    return TextEncoder(model, found[0], layers)


def _parts(module: nn.Module) -> list[nn.Module]:
    return list(module.children())


def _first(output: Any) -> Any:
    """Return a layer's hidden states: its output, or the first of several; None without any."""
    first = output[0] if isinstance(output, (tuple, list)) and output else output
    return first if isinstance(first, Tensor) and first.ndim == 3 else None


@contextmanager
def _inputs(tables: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Yield what tables of embeddings are asked for by this thread."""
    own, asked = threading.get_ident(), {}

    def hook(name: str) -> Callable[..., None]:
        def call(_module: nn.Module, args: Any) -> None:
            if threading.get_ident() == own and args and isinstance(args[0], Tensor):
                asked[name] = args[0].detach().clone()

        return call

    handles = [table.register_forward_pre_hook(hook(name)) for name, table in tables.items()]
    try:
        yield asked
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _changed(layer: nn.Module, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Have a layer return an edited hidden state, in this thread; the rest of a tuple stays."""
    own = threading.get_ident()

    def call(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if threading.get_ident() != own:
            return None
        if isinstance(output, Tensor):
            return edit(output)
        return type(output)([edit(output[0]), *output[1:]])

    handle = layer.register_forward_hook(call)
    try:
        yield
    finally:
        handle.remove()
