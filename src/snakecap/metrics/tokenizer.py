"""Penn Treebank tokens, lower-cased and without punctuation: what the official scores are of.

Source: ptbtokenizer.py in coco-caption; the same program (Stanford CoreNLP 3.4.1), the same
options, the same punctuation removed. Deviations, none of which an ordinary caption meets:

- The original replaces only line feeds by spaces. Carriage return, vertical tab, form feed,
  U+2028 and U+2029 end a line too and would shift every later caption to another image.
- A tag that is not closed (``<a href="``) would run on into the next captions.
- A surrogate without its other half cannot be written in UTF-8; it becomes U+FFFD.

A caption's tokens can depend on the start of the next caption (a full stop after an abbreviation
is decided by the word that follows); so it does in the original, and images keep their order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from snakecap.metrics import java

BRACKETS = {"-LRB-", "-RRB-", "-LCB-", "-RCB-"}  # never met: tokens are lower-cased
PUNCTUATION = {"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"} | BRACKETS
LINE_ENDS = re.compile("[\n\r\v\f\u2028\u2029]")
OPEN_TAG = re.compile(r"<(?=[A-Za-z!?/])(?![^<>\"']*>)")


def tokenize(*corpora: Sequence[str], timeout: float = 600.0) -> list[list[str]]:
    """Tokenise several lists of captions, each as if alone, in one Java process.

    Returns:
        For each list, one line for each caption: its tokens, separated by spaces.

    Raises:
        java.JavaError: the tokeniser failed or lost a line.
    """
    jar = java.official("tokenizer/stanford-corenlp-3.4.1.jar")
    program = ["-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    with java.folder() as folder:
        for number, captions in enumerate(corpora):
            text = "\n".join(map(clean, captions))
            (folder / f"{number}.txt").write_text(text, encoding="utf-8", newline="")
        # Names without spaces, relative to the folder: the list is split at white space.
        names = "".join(f"{number}.txt {number}.tok\n" for number in range(len(corpora)))
        (folder / "list").write_text(names)
        options = ["-preserveLines", "-lowerCase", "-ioFileList", "list"]
        java.run([*program, *options], folder=folder, timeout=timeout)
        return [
            _lines(folder / f"{number}.tok", len(captions))
            for number, captions in enumerate(corpora)
        ]


def clean(caption: str) -> str:
    """A caption on one line that cannot reach into the next; an ordinary one as it is."""
    caption = OPEN_TAG.sub("< ", LINE_ENDS.sub(" ", caption))
    if caption.isascii():
        return caption
    # Joins the halves of a pair that were decoded one by one, and replaces lone ones.
    return caption.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _lines(path: Path, expected: int) -> list[str]:
    lines = path.read_bytes().decode("utf-8").split("\n")
    if expected and len(lines) != expected:
        raise java.JavaError(f"the tokeniser made {len(lines)} lines of {expected} captions")
    words = (line.rstrip().split(" ") for line in lines[:expected])
    return [" ".join(word for word in row if word not in PUNCTUATION) for row in words]
