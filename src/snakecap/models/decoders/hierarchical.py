"""A paragraph's topics from one recurrent network, each sentence's words from another.

Sources: Krause et al., "A Hierarchical Approach for Generating Descriptive Image Paragraphs", CVPR
2017, 4.2 and 4.3; DeepCaption's `--hierarchical_model`. The sentence network reads the picture
again for each sentence; its state gives the sentence's topic, which starts an LSTM over words, and
the probability that the paragraph ends after it. Here a paragraph is one caption, each of whose
sentences ends in the word ".", and that probability is END's behind it: any search, objective and
score of captions does. Known deviations: END elsewhere, as of a paragraph that was cut, is a word
of the LSTM's; sentences after the last topic share it.

Dimensions: B paragraphs, P pictures, N sentences of the longest, S topics of each picture, T words
of a paragraph, W of the longest sentence, V vocabulary, D width, H hidden, M sentences that begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap.models.decoders.decoder import Decoder, State
from snakecap.models.decoders.lstm import CELLS, LSTMDecoder
from snakecap.models.encoded import Encoded, Memory


class HierarchicalDecoder(Decoder):
    """Words from topics, topics from the picture's summary.

    What `hidden` gives is of size H + 2: see `stops`.

    Args:
        full_stop: the word that ends a sentence.
        cell: of both networks: an LSTM or a GRU.
        layers: of the word network.
        dropout: on what predicts the words, and between layers.
        max_sentences: S.
        topic_size: of the layer between a sentence's state and its topic.
        topic_dropout: on that layer.
        stop_dropout: on the sentence's state where it says whether to stop.
        coherent: topics go through a `Coupling`; training then says one sentence after the other.
        picture: a topic is the word network's first input, or its initial state.
    """

    def __init__(
        self,
        constant_size: int = 0,
        *,
        width: int,
        vocabulary_size: int,
        full_stop: int,
        cell: Literal["lstm", "gru"] = "lstm",
        hidden_size: Annotated[int, Field(ge=1)] = 512,
        layers: Annotated[int, Field(ge=1)] = 1,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        max_sentences: Annotated[int, Field(ge=1)] = 6,
        topic_size: Annotated[int, Field(ge=1)] = 1024,
        topic_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        stop_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        coherent: bool = False,
        picture: Literal["input", "state"] = "input",
    ):
        super().__init__()
        self.full_stop, self.max_sentences = full_stop, max_sentences
        self.language = LSTMDecoder(
            constant_size,
            width=width,
            vocabulary_size=vocabulary_size,
            cell=cell,
            hidden_size=hidden_size,
            layers=layers,
            dropout=dropout,
            picture=picture,
        )
        self.sentences = CELLS[cell][0](width, hidden_size, batch_first=True)
        self.topic = perceptron(hidden_size, topic_size, width, topic_dropout)
        self.stop = nn.Sequential(nn.Dropout(stop_dropout), nn.Linear(hidden_size, 1))
        self.coupling = Coupling(hidden_size, topic_size, width) if coherent else None

    def adopt(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A flat decoder's weights are the word network's; what it lacks stays as it is."""
        flat = not any(name.startswith("language.") for name in weights)
        named = {f"language.{name}" if flat else name: one for name, one in weights.items()}
        return self.state_dict() | named

    def prepare(self, encoded: Encoded) -> Memory:
        """Topics (P, S, D), logits of stopping after each (P, S), and a `Coupling`'s (P, D)."""
        states, _ = self.sentences(encoded.summary.unsqueeze(1).repeat(1, self.max_sentences, 1))
        topics = self.topic(states)
        together = () if self.coupling is None else (self.coupling.together(topics),)
        return Memory(encoded, (topics, self.stop(states).squeeze(2), *together))

    def hidden(self, memory: Memory, words: Tensor) -> Tensor:
        read = F.pad(words, (1, 0))
        number, place = self._places(read)
        rows = torch.arange(len(read), device=read.device).unsqueeze(1)
        shape = (len(read), int(number.max()) + 1, int(place.max()) + 1)
        sentences = read.new_zeros(shape).index_put((rows, number, place), read)
        # What begins a sentence is read as START, which the word network puts before it.
        say = self._together if self.coupling is None else self._in_turn
        states = self.language.dropout(say(memory, sentences[:, :, 1:])[rows, number, place])
        return torch.cat([states, self._ends(rows, number, read, memory)], 2)

    def _places(self, read: Tensor) -> tuple[Tensor, Tensor]:
        """The sentence of each word that is read (B, T + 1), and its place there; both from 0.

        A full stop begins the next sentence, START (and padding) the first.
        """
        begins = (read == 0) | (read == self.full_stop)
        number = (read == self.full_stop).cumsum(1).masked_fill(read == 0, 0)
        at = torch.arange(read.shape[1], device=read.device).expand_as(read)
        return number, at - at.masked_fill(~begins, 0).cummax(1).values

    def _together(self, memory: Memory, sentences: Tensor) -> Tensor:
        """The word network's states over sentences (B, N, W), of shape (B, N, W + 1, H)."""
        number = torch.arange(sentences.shape[1], device=sentences.device)
        topics = memory.prepared[0][:, number.clamp(max=self.max_sentences - 1)]
        each = topic_memory(topics.flatten(0, 1), memory, sentences.shape[1])
        states = self.language.states(each, sentences.flatten(0, 1))
        return states.view(*topics.shape[:2], *states.shape[1:])

    def _in_turn(self, memory: Memory, sentences: Tensor) -> Tensor:
        """The same where a topic depends on the sentence before."""
        rows = torch.arange(len(sentences), device=sentences.device)
        lengths, each = (sentences != 0).sum(2), list[Tensor]()
        before = self._silence(memory)
        for n, words in enumerate(sentences.unbind(1)):
            topics = self.next_topic(rows, torch.full_like(rows, n), before, memory)
            each.append(self.language.states(topic_memory(topics, memory), words))
            before = each[-1][rows, lengths[:, n]]
        return torch.stack(each, 1)

    def _ends(self, rows: Tensor, number: Tensor, words: Tensor, memory: Memory) -> Tensor:
        """Of words that are read, what `stops` takes apart, of shape (..., 2)."""
        ended = words == self.full_stop
        sentence = (number - 1).clamp(0, self.max_sentences - 1)
        stop = memory.prepared[1][rows, sentence] * ended
        return torch.stack([stop, ended.to(stop.dtype)], -1)

    def logits(self, hidden: Tensor) -> Tensor:
        """Behind a sentence, END's probability is the sigmoid of its logit, whatever the words."""
        logits = self.language.logits(hidden[..., :-2])
        stop, ended = stops(hidden)
        words = logits[..., 1:]
        end = torch.where(ended, stop + words.logsumexp(-1), logits[..., 0])
        return torch.cat([end.unsqueeze(-1).to(words.dtype), words], -1)

    def start(self, memory: Memory) -> State:
        """Returns the word network's state, and the number of the sentence, of shape (P,)."""
        rows = torch.arange(len(memory.encoded.summary), device=memory.encoded.summary.device)
        first = torch.zeros_like(rows)
        topics = self.next_topic(rows, first, self._silence(memory), memory)
        return *self.language.start(topic_memory(topics, memory)), first

    def _silence(self, memory: Memory) -> Tensor:
        """In the place of a state, where nothing was said."""
        return memory.encoded.summary.new_zeros(
            len(memory.encoded.summary), self.language.output.in_features
        )

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        *said, number = state
        number = (number + (words == self.full_stop)).masked_fill(words == 0, 0)
        pictures = torch.arange(len(memory.encoded.summary), device=words.device)
        rows = pictures.repeat_interleave(len(words) // len(pictures))
        begins = (words == 0) | (words == self.full_stop)
        places = begins.nonzero().squeeze(1)
        if len(places):
            topics = self.next_topic(rows[places], number[places], said[0][places, -1], memory)
            fresh = self.language.start(topic_memory(topics, memory.select(rows[places])))
            pairs = zip(said, fresh, strict=True)
            said = [old.index_copy(0, places, new.to(old.dtype)) for old, new in pairs]
        states, after = self.language.advance(words.masked_fill(begins, 0), tuple(said), memory)
        ends = self._ends(rows, number, words, memory)
        return self.logits(torch.cat([self.language.dropout(states), ends], 1)), (*after, number)

    def next_topic(self, rows: Tensor, number: Tensor, said: Tensor, memory: Memory) -> Tensor:
        """Topics of sentences that begin, of shape (M, D).

        Args:
            rows: their pictures, of shape (M,).
            number: of each in its paragraph, from 0, of shape (M,).
            said: the word network's state behind the last word before each, of shape (M, H).
        """
        topics: Tensor = memory.prepared[0][rows, number.clamp(max=self.max_sentences - 1)]
        if self.coupling is None:
            return topics
        coupled: Tensor = self.coupling(topics, said, number > 0, memory.prepared[2][rows])
        return coupled


class Coupling(nn.Module):
    """Makes topics fit the sentence before, and all topics of the paragraph together.

    Source: Chatterjee and Schwing, "Diverse and Coherent Paragraph Generation from Images", ECCV
    2018, 3.2 and 3.3, without what is variational; DeepCaption's `--coherent_sentences`. Of topics
    T_i and what was said C: G = sum_i |T_i| T_i / sum_i |T_i|, and the topic becomes
    GRU((alpha T + beta C) / (alpha + beta), G). Known deviation: G is of all S topics.
    """

    ALPHA, BETA = 1.0, 1.5  # theirs, of the topic and of what was said

    def __init__(self, hidden_size: int, inside: int, width: int):
        super().__init__()
        self.said = perceptron(hidden_size, inside, width)
        self.cell = nn.GRUCell(width, width)

    def together(self, topics: Tensor) -> Tensor:
        """G of topics (P, S, D), of shape (P, D)."""
        lengths: Tensor = topics.norm(dim=2, keepdim=True)
        return (lengths * topics).sum(1) / lengths.sum(1)

    def forward(self, topics: Tensor, said: Tensor, follows: Tensor, together: Tensor) -> Tensor:
        """Topics (M, D) after states (M, H), which do not count for first sentences, and G."""
        carried = self.said(said) * follows.unsqueeze(1)
        fused = (self.ALPHA * topics + self.BETA * carried) / (self.ALPHA + self.BETA)
        coupled: Tensor = self.cell(fused, together.to(fused.dtype))
        return coupled


def perceptron(inputs: int, inside: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    """A layer with ReLU, and one without."""
    return nn.Sequential(
        nn.Linear(inputs, inside), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inside, outputs)
    )


def topic_memory(topics: Tensor, memory: Memory, copies: int = 1) -> Memory:
    """Topics, so many of each picture, in the place of the picture's summary."""
    constant = memory.encoded.constant
    fed = None if constant is None else constant.repeat_interleave(copies, 0)
    return Memory(Encoded(topics, constant=fed))


def stops(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Of what `hidden` gives: the logit of stopping, and where it is END's: behind a sentence."""
    return hidden[..., -2].float(), hidden[..., -1] > 0
