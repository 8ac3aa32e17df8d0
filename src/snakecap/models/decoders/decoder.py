"""What every decoder is: a language model that a picture starts.

Id 0 is START as an input, END as an output, and padding; the words are 1..V.
Dimensions: B captions, T words, V vocabulary, D width, H hidden.
"""

from __future__ import annotations

from torch import Tensor, nn

from snakecap.models.encoded import Encoded

State = tuple[Tensor, ...]


class Decoder(nn.Module):
    """Base class; a test holds `step` and `forward` to agree, for every decoder there is.

    Args:
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

    def hidden(self, encoded: Encoded, words: Tensor) -> Tensor:
        """What predicts each word and END.

        Args:
            encoded: B pictures.
            words: ids, 0-padded on the right, of shape (B, T).

        Returns:
            Of shape (B, T + 1, H); entry t predicts word t + 1, the entry after the last word END.
        """
        raise NotImplementedError

    def logits(self, hidden: Tensor) -> Tensor:
        """Unnormalised log-probabilities of END (0) and the words, of shape (..., V + 1)."""
        raise NotImplementedError

    def forward(self, encoded: Encoded, words: Tensor) -> Tensor:
        """Log-probabilities of every next word, of shape (B, T + 1, V + 1)."""
        return self.logits(self.hidden(encoded, words)).log_softmax(-1)

    def start(self, encoded: Encoded) -> State:
        """The state after the pictures: tensors whose first dimension is B."""
        raise NotImplementedError

    def step(self, words: Tensor, state: State, encoded: Encoded) -> tuple[Tensor, State]:
        """One word further.

        Args:
            words: the last words, of shape (B * W,): W captions a picture, side by side.
            state: of those captions.
            encoded: the B pictures.

        Returns:
            Logits of shape (B * W, V + 1), and the new state.
        """
        raise NotImplementedError
