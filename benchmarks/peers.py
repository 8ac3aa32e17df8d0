"""Decoders over regions as common research code writes them, to measure ours against.

After ImageCaptioning.pytorch: features are repeated for each caption of a picture and for each
beam; an LSTM is a loop of LSTMCells with a log-softmax at each step; a transformer is a list of
layers with the norm last, whose beam search keeps each layer's keys and values, the picture's too,
in the state of each beam.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEADS = 8


class UpDown(nn.Module):
    """Top-down attention: two LSTMCells and additive attention, word by word."""

    def __init__(self, vocabulary: int, size: int, features: int):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(features, size), nn.ReLU(), nn.Dropout(0.5))
        self.words = nn.Sequential(nn.Embedding(vocabulary + 1, size), nn.ReLU(), nn.Dropout(0.5))
        self.keys, self.query = nn.Linear(size, size), nn.Linear(size, size)
        self.score = nn.Linear(size, 1)
        self.look, self.say = nn.LSTMCell(3 * size, size), nn.LSTMCell(2 * size, size)
        self.output = nn.Linear(size, vocabulary + 1)

    def prepare(self, grid: Tensor, copies: int) -> tuple[Tensor, ...]:
        """Regions, their mean and keys, once for each caption."""
        regions = self.embed(grid)
        once = (regions, regions.mean(1), self.keys(regions))
        return tuple(part.repeat_interleave(copies, 0) for part in once)

    def start(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        zeros = torch.zeros_like(memory[1])
        return zeros, zeros, zeros, zeros

    def step(self, words: Tensor, state: tuple[Tensor, ...], memory: tuple[Tensor, ...]):
        """Log-probabilities of the next word (B, V + 1), and the state."""
        regions, mean, keys = memory
        h1, c1, h2, c2 = state
        h1, c1 = self.look(torch.cat([h2, mean, self.words(words)], 1), (h1, c1))
        scores = self.score((keys + self.query(h1).unsqueeze(1)).tanh()).squeeze(2)
        context = torch.bmm(scores.softmax(1).unsqueeze(1), regions).squeeze(1)
        h2, c2 = self.say(torch.cat([context, h1], 1), (h2, c2))
        dropped = torch.dropout(h2, 0.5, self.training)
        return self.output(dropped).log_softmax(1), (h1, c1, h2, c2)

    def forward(self, grid: Tensor, words: Tensor) -> Tensor:
        """Log-probabilities after each word, of shape (B, T, V + 1)."""
        memory = self.prepare(grid, len(words) // len(grid))
        state, steps = self.start(memory), []
        for said in words.unbind(1):
            log_probs, state = self.step(said, state, memory)
            steps.append(log_probs)
        return torch.stack(steps, 1)


class Transformer(nn.Module):
    """Six layers of torch's encoder, and six as the annotated transformer has them."""

    def __init__(self, vocabulary: int, size: int, features: int):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(features, size), nn.ReLU(), nn.Dropout(0.1))
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(size, HEADS, 4 * size, batch_first=True) for _ in range(6)
        )
        self.decoder = nn.ModuleList(Layer(size) for _ in range(6))
        self.words = nn.Embedding(vocabulary + 1, size)
        self.output = nn.Linear(size, vocabulary + 1)
        self.register_buffer("positions", torch.randn(64, size))

    def prepare(self, grid: Tensor, copies: int) -> tuple[Tensor, ...]:
        """Keys and values for each layer, once for each caption."""
        regions = self.embed(grid).repeat_interleave(copies, 0)
        for layer in self.encoder:
            regions = layer(regions)
        return tuple(part for layer in self.decoder for part in layer.there.project(regions))

    def start(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Each layer's keys and values of the words, none yet, and, as there, of the picture."""
        return (*(part[:, :, :0] for part in memory), *memory)

    def step(self, words: Tensor, state: tuple[Tensor, ...], memory: tuple[Tensor, ...]):
        """Log-probabilities of the next word (B, V + 1), and the state."""
        token = self.words(words.unsqueeze(1)) + self.positions[state[0].shape[2]]
        said, seen = list(state[: len(memory)]), state[len(memory) :]
        for i, layer in enumerate(self.decoder):
            pair = slice(2 * i, 2 * i + 2)
            new = layer.here.project(token)
            said[pair] = [torch.cat(parts, 2) for parts in zip(said[pair], new, strict=True)]
            token = layer(token, said[pair], seen[pair])
        return self.output(token.squeeze(1)).log_softmax(1), (*said, *seen)

    def forward(self, grid: Tensor, words: Tensor) -> Tensor:
        """Log-probabilities after each word, of shape (B, T, V + 1)."""
        memory = self.prepare(grid, len(words) // len(grid))
        tokens = self.words(words) + self.positions[: words.shape[1]]
        future = torch.ones(words.shape[1], words.shape[1], dtype=torch.bool).triu(1)
        for i, layer in enumerate(self.decoder):
            said = layer.here.project(tokens)
            tokens = layer(tokens, said, memory[2 * i : 2 * i + 2], future.to(tokens.device))
        return self.output(tokens).log_softmax(2)


class Layer(nn.Module):
    """Attention to the words, attention to the picture, two linear layers; the norm last."""

    def __init__(self, size: int):
        super().__init__()
        self.here, self.there = Attention(size), Attention(size)
        self.change = nn.Sequential(
            nn.Linear(size, 4 * size), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4 * size, size)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(3))
        self.dropout = nn.Dropout(0.1)

    def forward(self, tokens: Tensor, said, seen, future: Tensor | None = None) -> Tensor:
        tokens = self.norms[0](tokens + self.dropout(self.here(tokens, *said, future)))
        tokens = self.norms[1](tokens + self.dropout(self.there(tokens, *seen)))
        return self.norms[2](tokens + self.dropout(self.change(tokens)))


class Attention(nn.Module):
    """Four linear layers, and the products one after another."""

    def __init__(self, size: int):
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(size, size) for _ in range(4))
        self.dropout = nn.Dropout(0.1)

    def project(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values by head."""
        return self._split(self.key(vectors)), self._split(self.value(vectors))

    def forward(self, tokens: Tensor, key: Tensor, value: Tensor, future: Tensor | None = None):
        """Tokens (B, N, D) to what they look at."""
        scores = self._split(self.query(tokens)) @ key.transpose(2, 3) / key.shape[3] ** 0.5
        if future is not None:
            scores = scores.masked_fill(future, -1e9)
        seen = self.dropout(scores.softmax(3)) @ value
        return self.output(seen.transpose(1, 2).flatten(2))

    def _split(self, vectors: Tensor) -> Tensor:
        return vectors.unflatten(2, (HEADS, -1)).transpose(1, 2)


@torch.no_grad()
def search(model: UpDown | Transformer, grid: Tensor, width: int, longest: int) -> Tensor:
    """The best captions of a beam, (B, T), without END: all beams, for every step there can be.

    As there, all continuations are sorted, and each beam keeps the distributions that it was drawn
    from.
    """
    pictures = len(grid)
    memory = tuple(part.repeat_interleave(width, 0) for part in model.prepare(grid, 1))
    state = model.start(memory)
    totals = torch.full((pictures, width), -1e9, device=grid.device)
    totals[:, 0] = 0  # all beams start alike
    said = torch.zeros(pictures * width, 1, dtype=torch.long, device=grid.device)
    kept = torch.zeros(pictures * width, 0, model.output.out_features, device=grid.device)
    first = torch.arange(pictures, device=grid.device).unsqueeze(1) * width
    for _ in range(longest):
        log_probs, state = model.step(said[:, -1], state, memory)
        scores = totals.unsqueeze(2) + log_probs.view(pictures, width, -1)
        totals, places = scores.flatten(1).sort(1, descending=True)
        totals, places = totals[:, :width], places[:, :width]
        rows = (first + places // log_probs.shape[1]).flatten()
        said = torch.cat([said[rows], (places % log_probs.shape[1]).view(-1, 1)], 1)
        kept = torch.cat([kept[rows], log_probs[rows].unsqueeze(1)], 1)
        state = tuple(part[rows] for part in state)
    return said.view(pictures, width, -1)[:, 0, 1:]
