"""A transformer: every word looks at all words before it, and at the picture's regions.

Source: Vaswani et al., "Attention Is All You Need", 2017, with the norm first (Xiong et al., 2020).
Known deviations: the picture's summary is one more region, so that pooled features, a grid, objects
and several of them together are all read alike, and a picture without objects is too; nothing is
dropped of its own attention's weights.

Dimensions: B captions, P pictures, T words, N tokens, R regions, V vocabulary, D width, L layers, A
heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap.models.decoders.attending import AttendingDecoder
from snakecap.models.decoders.decoder import State, Words
from snakecap.models.encoded import Encoded, Memory
from snakecap.models.transformer import (
    EncoderLayer,
    check,
    feed_forward,
    look_back,
    mean,
    split,
    weigh,
    widened,
)

Pair = tuple[Tensor, Tensor]  # keys and values, each of shape (B, A, N, D / A)


class TransformerDecoder(AttendingDecoder):
    """Words from a picture's summary and regions, all of a caption at once in training.

    A state is the keys and values of what was said: another word costs no more than looking at it.

    Args:
        layers: L.
        encoder_layers: that the regions go through first, as in the original, which has six.
        heads: A.
        hidden_size: of the feed-forward part.
        dropout: on the words, and on what each part of a layer adds.
        positions: of words: sines of them, or learned vectors.
        longest: words in a caption, at most.

    Raises:
        ValueError: D is not a multiple of A.
    """

    attends = True  # to regions, where there are some

    def __init__(
        self,
        constant_size: int = 0,
        *,
        width: int,
        vocabulary_size: int,
        layers: Annotated[int, Field(ge=1)] = 6,
        encoder_layers: Annotated[int, Field(ge=0)] = 0,
        heads: Annotated[int, Field(ge=1)] = 8,
        hidden_size: Annotated[int, Field(ge=1)] = 2048,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        tie_embeddings: bool = False,
        positions: Literal["sines", "learned"] = "sines",
        longest: Annotated[int, Field(ge=1)] = 128,
    ):
        super().__init__()
        check(width=width, heads=heads)
        self.heads = heads
        self.words = Words(vocabulary_size, width)
        if positions == "learned":
            self.positions = nn.Parameter(torch.randn(longest + 1, width) * width**-0.5)
        else:
            self.register_buffer("positions", sines(longest + 1, width), persistent=False)
        self.constant = nn.Linear(constant_size, width, bias=False) if constant_size else None
        self.dropout = nn.Dropout(dropout)
        sizes = (width, heads, hidden_size, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(encoder_layers))
        self.encoded = nn.LayerNorm(width) if encoder_layers else nn.Identity()
        self.regions = nn.Linear(width, 2 * layers * width, bias=False)
        self.layers = nn.ModuleList(Layer(*sizes) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, vocabulary_size + 1)
        if tie_embeddings:
            self.words.tie(self.output)

    def prepare(self, encoded: Encoded) -> Memory:
        """Every layer's keys and values of the regions and the summary, and which of them exist."""
        regions, mask = encoded.summary.unsqueeze(1), None
        if encoded.regions is not None:
            regions = torch.cat([encoded.regions, regions], 1)
            mask = None if encoded.mask is None else F.pad(encoded.mask, (0, 1), value=True)
        for layer in self.encoder:
            regions = layer(regions, mask)
        each = widened(self.regions(self.encoded(regions))).chunk(2 * len(self.layers), 2)
        seen = tuple(split(one, self.heads).contiguous() for one in each)
        return Memory(encoded, seen if mask is None else (*seen, mask))

    def attend(self, memory: Memory, words: Tensor) -> tuple[Tensor, Tensor]:
        """What the summary has of the attention is missing in the weights, all heads' mean."""
        tokens = self._read(F.pad(words, (1, 0)), memory, 0)
        hidden, weights, _ = self._look(tokens, memory)
        return hidden, weights[:, :, :-1]

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.output(hidden)
        return logits

    def start(self, memory: Memory) -> State:
        """Nothing is said: keys and values of each layer, of shape (B, A, 0, D / A)."""
        return tuple(one[:, :, :0] for one in memory.prepared[: 2 * len(self.layers)])

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        tokens = self._read(words.unsqueeze(1), memory, state[0].shape[2])
        hidden, _, state = self._look(tokens, memory, state)
        return self.logits(hidden.squeeze(1)), state

    def _read(self, words: Tensor, memory: Memory, first: int) -> Tensor:
        """Tokens of words (B, N), the first of which is at the place `first` of its caption."""
        if first + words.shape[1] > len(self.positions):
            raise ValueError(
                f"a caption has more than {len(self.positions) - 1} words: raise the transformer's "
                "option `longest`, or lower max_length"
            )
        tokens = self.words(words) + self.positions[first : first + words.shape[1]]
        if self.constant is not None:
            fed = self.constant(memory.encoded.constant)
            tokens = tokens + fed.repeat_interleave(len(words) // len(fed), 0).unsqueeze(1)
        dropped: Tensor = self.dropout(tokens)
        return dropped

    def _look(
        self, tokens: Tensor, memory: Memory, state: State = ()
    ) -> tuple[Tensor, Tensor, State]:
        """What predicts the word after each token (B, N, D), weights, keys and values so far."""
        mask, weights, after = self._mask(memory), list[Tensor](), list[Tensor]()
        said = _pairs(state) if state else [None] * len(self.layers)
        for (layer, seen), before in zip(self._layers(memory), said, strict=True):
            tokens, pair = layer.say(tokens, before)
            tokens, looked = layer.look(tokens, seen, mask)
            weights.append(looked)
            after += pair
        return self.norm(tokens), torch.stack(weights).mean(0), tuple(after)

    def _layers(self, memory: Memory) -> list[tuple[Layer, Pair]]:
        """Each layer, and its keys and values of the regions."""
        pairs = _pairs(memory.prepared[: 2 * len(self.layers)])
        return list(zip(cast("Iterable[Layer]", self.layers), pairs, strict=True))

    def _mask(self, memory: Memory) -> Tensor | None:
        return memory.prepared[-1] if len(memory.prepared) % 2 else None


def _pairs(tensors: tuple[Tensor, ...]) -> list[Pair]:
    return list(zip(tensors[::2], tensors[1::2], strict=True))


class Layer(nn.Module):
    """Attention to what was said, attention to the picture, and a feed-forward network."""

    def __init__(self, width: int, heads: int, hidden_size: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.first, self.second, self.third = (nn.LayerNorm(width) for _ in range(3))
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.join = nn.Linear(width, width)
        self.query = nn.Linear(width, width, bias=False)
        self.join_seen = nn.Linear(width, width)
        self.forward_part = feed_forward(width, hidden_size, dropout)
        self.dropout = nn.Dropout(dropout)

    def say(self, tokens: Tensor, before: Pair | None = None) -> tuple[Tensor, Pair]:
        """Tokens (B, N, D) that have looked at each other and at those `before`; N is then 1."""
        projected = widened(self.project(self.first(tokens))).chunk(3, 2)
        query, key, value = (split(one, self.heads) for one in projected)
        if before is not None:
            key, value = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
        alone = query.shape[2] == 1
        seen = mean(weigh(query, key), value) if alone else look_back(query, key, value)
        return tokens + self.dropout(self.join(seen)), (key, value)

    def look(self, tokens: Tensor, seen: Pair, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens that have looked at their picture's regions and were changed, and the weights.

        All captions of a picture ask together: the weights are of shape (P, B / P * N, R).
        """
        (key, value), width = seen, tokens.shape[2]
        asked = widened(self.query(self.second(tokens))).view(len(key), -1, width)
        weights = weigh(split(asked, self.heads), key, mask)
        found = self.join_seen(mean(weights, value)).view(tokens.shape)
        tokens = tokens + self.dropout(found)
        return tokens + self.dropout(self.forward_part(self.third(tokens))), weights.mean(1)


def sines(number: int, width: int) -> Tensor:
    """Positions as sines and cosines of wavelengths from 2 pi to 20,000 pi (3.5), (number, D)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(number).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :width]
