"""What every decoder is: a language model that a picture starts.

Id 0 is START as an input, END as an output, and padding; the words are 1..V.
Dimensions: B captions, T words, V vocabulary, D width, H hidden, K numbers fed at every step.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from snakecap.models.encoded import Encoded, Memory

State = tuple[Tensor, ...]


class Decoder(nn.Module):
    """Base class; a test holds `step` and `hidden` to agree, for every decoder there is.

    `prepare` is called once a picture; its result is what all else reads, by rows.

    Args:
        constant_size: K, 0 where no encoder gives such numbers.
        width: D, size of word, picture and region vectors.
        vocabulary_size: V, words with ids 1..V.
        hidden_size: H, numbers in a layer's state.
        input_dropout: on word and picture vectors; NeuralTalk2 has none.
        tie_embeddings: output weights are the word vectors (`lstm`: needs H = D), multiplied by
            sqrt(D) as inputs: of length 1 they would hardly be heard (Vaswani et al., "Attention
            Is All You Need", 2017, 3.4; docs/log.md).
        picture: its summary is the first input, or the initial state: layouts then teach a model
            without attention several times faster (docs/log.md).
    """

    def prepare(self, encoded: Encoded) -> Memory:
        """What does not change while a caption is said: keys and values, projections."""
        return Memory(encoded)

    def adopt(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Its state dict, of that of the decoder that training starts from."""
        return dict(weights)

    def hidden(self, memory: Memory, words: Tensor) -> Tensor:
        """What predicts each word and END.

        Args:
            memory: of B pictures, one a caption.
            words: ids, 0-padded on the right, of shape (B, T).

        Returns:
            Of shape (B, T + 1, H); entry t predicts word t + 1, the entry after the last word END.
        """
        raise NotImplementedError

    def logits(self, hidden: Tensor) -> Tensor:
        """Unnormalised log-probabilities of END (0) and the words, of shape (..., V + 1)."""
        raise NotImplementedError

    def forward(self, memory: Memory, words: Tensor) -> Tensor:
        """Log-probabilities of every next word, of shape (B, T + 1, V + 1)."""
        return self.logits(self.hidden(memory, words)).log_softmax(-1)

    def start(self, memory: Memory) -> State:
        """The state after the pictures: tensors whose first dimension is B."""
        raise NotImplementedError

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """One word further, by the same function as `hidden`, in training mode too.

        Args:
            words: the last words, of shape (B * W,): W captions a picture, side by side.

        Returns:
            Logits of shape (B * W, V + 1), and the new state.
        """
        raise NotImplementedError


class Words(nn.Embedding):
    """Word vectors, of START (0) too."""

    def __init__(self, vocabulary_size: int, width: int):
        super().__init__(vocabulary_size + 1, width)
        self.scale = 1.0

    def tie(self, output: nn.Linear) -> None:
        """Make the word vectors the weights of a layer that predicts words, of D inputs."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)
        output.weight = self.weight
        self.scale = self.embedding_dim**0.5

    def forward(self, words: Tensor) -> Tensor:
        vectors = super().forward(words)
        return vectors if self.scale == 1 else vectors * self.scale


def fed(vectors: Tensor, constant: Tensor | None) -> Tensor:
    """Vectors (B, T, D) with their picture's constant numbers, (B, K), behind: (B, T, D + K)."""
    if constant is None:
        return vectors
    return torch.cat([vectors, constant.unsqueeze(1).expand(-1, vectors.shape[1], -1)], 2)
