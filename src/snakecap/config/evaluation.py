"""How captions are searched for, judged and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from snakecap import registry
from snakecap.config.base import Count, Positive, Precision, Section, Seed
from snakecap.config.options import literal

OF_METHODS = (
    *("beam_width", "length_normalisation", "n_best", "temperature", "top_k", "top_p", "voters"),
    *("groups", "diversity"),
    "batch_size",  # by which samples are drawn
)


class Decoding(Section):
    """How words are searched for."""

    method: str = Field(
        "beam",
        description="beam, consensus, diverse, greedy or sample: a name in registry.SEARCHES",
    )
    beam_width: Annotated[Positive, Field(le=1000)] = Field(
        2, description="NeuralTalk2: 2 or 3 works well, more is not better"
    )
    groups: Positive = Field(2, description="diverse: of beams, which say different things")
    diversity: Annotated[float, Field(ge=0)] = Field(
        0.5, description="diverse: what a word loses for each earlier group's beam that says it"
    )
    max_length: Positive = Field(16, description="words; a caption that gets there is cut")
    min_length: Count = Field(0, description="words before a caption may end")
    no_bad_endings: bool = Field(
        False, description="forbid END after a, of, with ...; captions that are cut may end so"
    )
    temperature: Annotated[float, Field(ge=0.001)] = Field(
        1.0, description="sampling: logits are divided by it; towards 0 it is greedy"
    )
    top_k: Count = Field(0, description="sample among the k likeliest words; 0: all")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="sample among the likeliest words that together have this probability"
    )
    length_normalisation: Annotated[float, Field(ge=0)] = Field(
        0.0, description="divide a caption's log-probability by (words + 1) to this power"
    )
    no_repeat_ngram: Count = Field(0, description="forbid a second n-gram of this size; 0: allow")
    no_repeat_words: bool = Field(False, description="forbid a second use of a content word")
    suppress_unknown: bool = Field(True, description="never say UNK")
    no_repeat_sentences: bool = Field(
        False, description="leave out sentences that were said before"
    )
    only_complete_sentences: bool = Field(
        False, description="leave out what follows the last full stop, if there is one"
    )
    lemma_rules: str | None = Field(
        None, description="file of lines `lemma POS word`; a caption's `lemma POS` become the word"
    )
    written: bool = Field(False, description="with capitals, and no space before punctuation")
    n_best: Positive = Field(1, description="captions a picture, with their log-probabilities")
    batch_size: Positive = Field(64, description="pictures at once")
    voters: Positive = Field(
        64,
        description="consensus: captions drawn at random (temperature, top_k, top_p), of which the "
        "beam's are judged by how much they agree",
    )
    precision: Precision = "auto"
    seed: Seed = Field(123, description="of sampling, by batches of batch_size, and of the control")

    def unread(self) -> set[str]:
        """Options of other methods than its own, which says what it ``READS``."""
        reads = literal("search", self.method, "READS")
        return set() if reads is None else set(OF_METHODS) - set(reads)

    @model_validator(mode="after")
    def _possible(self) -> Decoding:
        registry.location("search", self.method)
        if self.method == "greedy" and self.n_best > 1:
            raise ValueError(
                f"n_best {self.n_best}: greedy search finds one caption; use beam or sample"
            )
        if self.method == "diverse" and self.beam_width % self.groups:
            raise ValueError(
                f"beam_width {self.beam_width} is not a multiple of groups {self.groups}"
            )
        if self.lemma_rules is not None and not Path(self.lemma_rules).is_file():
            raise ValueError(f"lemma_rules: there is no file {self.lemma_rules}")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is over max_length {self.max_length}")
        return self


class Score(Section):
    """Metrics and their intervals."""

    metrics: tuple[str, ...] = Field(
        ("Bleu", "METEOR", "ROUGE_L", "CIDEr"), description="names in registry.METRICS"
    )
    bootstrap: Count = Field(1000, description="resamples for the 95 % intervals; 0: none")
    seed: Seed = Field(123, description="of the resampling")

    @model_validator(mode="after")
    def _known(self) -> Score:
        for metric in self.metrics:
            registry.location("metric", metric)
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"metrics {list(self.metrics)}: name at least one, and each once")
        return self


class Report(Section):
    """The static page and the plots."""

    title: str = Field("Image captioning systems compared", description="of the page")
    shown: Count = Field(200, description="pictures on the page; 0: all")
    thumbnail: Positive = Field(256, description="side in pixels of the embedded pictures")
    pairs: tuple[tuple[str, str], ...] = Field(
        (),
        description="systems whose difference in CIDEr is shown, [from, to]; none: each with each, "
        "or of many its neighbour and the best",
    )

    @model_validator(mode="after")
    def _different(self) -> Report:
        wrong = next((pair for pair in self.pairs if pair[0] == pair[1]), None)
        if wrong is not None or len(set(self.pairs)) < len(self.pairs):
            raise ValueError("pairs: each names two systems, and stands there once")
        return self
