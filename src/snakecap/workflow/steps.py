"""THE table of steps: what each is for, and what its rule asks a cluster for.

A step is one function from files to files. Its arguments say themselves which of them it writes
(`snakecap.provenance.identity.Output`). A row without needs has no rule: it is a command alone.
"""

from __future__ import annotations

from typing import NamedTuple


class Need(NamedTuple):
    """What a rule needs, linear in the size of the data set.

    Attributes:
        memory: MB, whatever the size: Python, torch, CUDA, a batch.
        per_picture: KB more for every picture.
        per_caption: KB more for every caption.
        minutes: whatever the size: starting, and waiting for a file system.
        rate: pictures a second on a CPU core, the slowest network that is usual.
        rate_gpu: pictures a second on a GPU.
    """

    memory: int
    per_picture: float
    per_caption: float
    minutes: int
    rate: float
    rate_gpu: float


class Step(NamedTuple):
    """A row of the table.

    Attributes:
        location: ``module:function`` inside of snakecap; a rule has the function's name.
        shared: whether working copies and users may share its results (docs/caches.md).
    """

    location: str
    purpose: str
    positional: tuple[str, ...] = ()
    need: Need | None = None
    shared: bool = False

    @property
    def name(self) -> str:
        """Of its function, its rule and its script."""
        return self.location.partition(":")[2]


# By command. The needs are estimates on the large side. Measured, with 123,287 pictures of five
# captions and seven objects: vocabulary, encode, references and combine (docs/slurm.md); the other
# rows have not been, and no rate on a GPU. `mem_mb` and `runtime` of a rule can be set on the
# command line.
STEPS = {
    "caption": Step(
        "steps.photos:photos",
        "caption your own photos, or layouts of objects",
        positional=("model", "photos"),
    ),
    "describe": Step(
        "steps.describe_photos:describe_photos",
        "describe the regions of your own photos",
        positional=("model", "photos"),
    ),
    "score": Step(
        "steps.score:score",
        "BLEU, METEOR, ROUGE-L and CIDEr of results files",
        positional=("results", "references"),
        need=Need(5000, 4, 2, 20, 100, 100),
    ),
    "score-dense": Step(
        "steps.score_dense:score_dense",
        "mAP of dense captions, of any model's predictions",
        positional=("predictions", "regions"),
        need=Need(5000, 12, 12, 20, 20, 20),
    ),
    "info": Step(
        "steps.info:info",
        "what a result was made from, and whether that changed",
        positional=("file",),
    ),
    "results": Step(
        "steps.results:results",
        "all results of some folders, with the settings that differ",
        positional=("folders",),
    ),
    "diff": Step(
        "steps.diff:diff", "what two results were made from differently", positional=("a", "b")
    ),
    "watch": Step(
        "steps.watch:watch",
        "losses and scores of training while it runs",
        positional=("folder",),
    ),
    "view": Step("server.viewer:view", "open a report's page, or a vis.json", positional=("page",)),
    "download": Step(
        "steps.download:download",
        "fetch and verify a data set's files",
        need=Need(1000, 0, 0, 30, 50, 50),
    ),
    "annotations": Step(
        "steps.annotations:annotations",
        "read a data set: pictures.json",
        need=Need(1000, 40, 2, 20, 100, 100),
    ),
    "combine": Step(
        "steps.combine:combine",
        "several data sets as one",
        need=Need(1000, 16, 2, 10, 1000, 1000),
    ),
    "resize": Step(
        "steps.resize:resize",
        "pictures to squares: images.h5",
        need=Need(4000, 12, 2, 20, 50, 50),
        shared=True,
    ),
    "vocabulary": Step(
        "steps.vocabulary:vocabulary",
        "the words that are kept",
        need=Need(1000, 12, 2, 10, 1000, 1000),
    ),
    "encode": Step(
        "steps.encode:encode",
        "captions to ids: captions.h5",
        need=Need(1000, 12, 3, 10, 1000, 1000),
    ),
    "regions": Step(
        "steps.regions:regions",
        "the regions that dense systems learn, whose phrases become captions",
        need=Need(1500, 40, 6, 20, 50, 50),
    ),
    "references": Step(
        "steps.references:references",
        "a split's captions as COCO JSON",
        need=Need(1000, 12, 3, 10, 1000, 1000),
    ),
    "raw": Step("steps.raw:raw", "pictures.json as NeuralTalk2's coco_raw.json"),
    "densecap-h5": Step(
        "steps.densecap_h5:densecap_h5", "regions and photos as DenseCap's VG-regions.h5 and JSON"
    ),
    "features": Step(
        "steps.features:features",
        "a backbone's features, cached",
        need=Need(6000, 0, 0, 20, 2, 100),
        shared=True,
    ),
    "train-detector": Step(
        "steps.train_detector:train_detector",
        "train a detector on a data set's own boxes",
        need=Need(8000, 12, 2, 30, 2, 50),
        shared=True,
    ),
    "detect": Step(
        "steps.detect:detect",
        "the objects in a data set's pictures",
        need=Need(6000, 16, 2, 20, 2, 50),
        shared=True,
    ),
    "judge": Step(
        "steps.judge:judge",
        "average precision of detections",
        need=Need(2000, 40, 2, 15, 500, 500),
    ),
    "darknet-lines": Step(
        "steps.darknet_lines:darknet_lines", "detections as OBJ2TEXT's own coco_detection_result"
    ),
    "layout": Step(
        "steps.layout:layout",
        "detections to the layouts that systems read",
        need=Need(2000, 20, 2, 10, 500, 500),
    ),
    "train": Step(
        "steps.train:train",
        "train one stage of one system",
        need=Need(6000, 36, 2, 30, 50, 1000),
    ),
    "caption-split": Step(
        "steps.caption:caption",
        "caption a split of a data set",
        need=Need(6000, 32, 2, 20, 2, 50),
    ),
    "describe-split": Step(
        "steps.describe:describe",
        "describe the regions of a split of a data set",
        need=Need(10000, 40, 6, 20, 0.5, 10),
    ),
    "report": Step(
        "steps.report:report",
        "table, curves and page of many systems",
        need=Need(3000, 16, 2, 15, 200, 200),
    ),
    "jobs": Step("workflow.queue:jobs", "this folder's jobs in SLURM's queue; --cancel ends them"),
    "sweep": Step(
        "steps.sweep:sweep", "a recipe with random variants of a system", positional=("configs",)
    ),
    "vis": Step(
        "steps.vis:vis",
        "results as NeuralTalk2's vis.json and its pictures",
        positional=("results", "folder"),
    ),
}
RULES = {step.name: step for step in STEPS.values() if step.need}
ON_PIXELS = Need(10000, 16, 2, 30, 2, 100)  # training that runs the network itself
