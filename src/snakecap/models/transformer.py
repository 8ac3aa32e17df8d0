"""What transformers are made of: attention, the feed-forward part and the encoder's layer.

Source: Vaswani et al., "Attention Is All You Need", 2017, 3.1-3.3, with the norm first (Xiong
et al., "On Layer Normalization in the Transformer Architecture", ICML 2020).

Dimensions: B pictures, N queries, R keys, D width, A heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def check(*, width: int, heads: int) -> None:
    """Each head has an equal share of the width."""
    if width % heads:
        raise ValueError(f"width {width} is not a multiple of {heads} heads")


def split(vectors: Tensor, heads: int) -> Tensor:
    """Each head's share of vectors (B, N, D), of shape (B, A, N, D / A)."""
    pictures, number, width = vectors.shape  # no -1: there may be no vectors at all
    return vectors.view(pictures, number, heads, width // heads).transpose(1, 2)


def widened(vectors: Tensor) -> Tensor:
    """In single precision on a CPU, which multiplies small matrices of bfloat16 much slower."""
    return vectors.float() if vectors.is_cpu and vectors.dtype == torch.bfloat16 else vectors


def weigh(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
    """Weights of scaled dot-product attention of `split` and `widened` heads, (B, A, N, R).

    Args:
        mask: of shape (B, R), true where a key exists.
    """
    with torch.autocast("cpu", enabled=False):
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)
        weights: Tensor = scores.softmax(-1)
    return weights


def mean(weights: Tensor, value: Tensor) -> Tensor:
    """The values' weighted means, all heads joined: (B, N, D)."""
    with torch.autocast("cpu", enabled=False):
        return (weights @ value).transpose(1, 2).flatten(2)


def look_back(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of token n to the tokens up to n, all heads joined: (B, N, D)."""
    with torch.autocast("cpu", enabled=False):
        seen: Tensor = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    return seen.transpose(1, 2).flatten(2)


def feed_forward(width: int, hidden_size: int, dropout: float) -> nn.Sequential:
    """The same two layers for every vector."""
    return nn.Sequential(
        nn.Linear(width, hidden_size),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden_size, width),
    )


class EncoderLayer(nn.Module):
    """Attention among the tokens, then a feed-forward network; both add to what they read."""

    def __init__(self, width: int, heads: int, hidden_size: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.forward_part = feed_forward(width, hidden_size, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens (B, R, D) to tokens; `mask` (B, R) says which exist."""
        tokens = tokens + self.dropout(self.attend(self.first(tokens), mask))
        changed: Tensor = tokens + self.dropout(self.forward_part(self.second(tokens)))
        return changed

    def attend(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        projected = widened(self.project(tokens)).chunk(3, 2)
        query, key, value = (split(one, self.heads) for one in projected)
        joined: Tensor = self.join(mean(self.dropout(weigh(query, key, mask)), value))
        return joined
