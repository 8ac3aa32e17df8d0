"""The parts by name. A new part is one file and one line here.

Each table maps the name used in ``config.yaml`` to ``module:object``, imported only when
chosen, so that a dry run imports no torch and a stage depends only on the parts it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

INPUTS = {
    "features": "snakecap.inputs.features:FeaturesInput",
    "layout": "snakecap.inputs.layout:LayoutInput",
    "photos": "snakecap.inputs.photos:PhotosInput",
    "regions": "snakecap.inputs.regions:RegionsInput",
    "vectors": "snakecap.inputs.vectors:VectorsInput",
}
ENCODERS = {
    "cnn": "snakecap.models.encoders.cnn:CNNEncoder",
    "cnn_grid": "snakecap.models.encoders.cnn_grid:CNNGridEncoder",
    "constant": "snakecap.models.encoders.constant:ConstantEncoder",
    "layout_lstm": "snakecap.models.encoders.layout_lstm:LayoutLSTMEncoder",
    "layout_set": "snakecap.models.encoders.layout_set:LayoutSetEncoder",
    "regions": "snakecap.models.encoders.regions:RegionsEncoder",
}
# `timm` stands for every architecture timm/NAME, `torchvision` for what is not named here.
BACKBONES = {
    "timm": "snakecap.models.backbones.timm:Timm",
    "torchvision": "snakecap.models.backbones.torchvision:Torchvision",
    "tiny": "snakecap.models.backbones.tiny:Tiny",
}
DECODERS = {
    "lstm": "snakecap.models.decoders.lstm:LSTMDecoder",
    "hierarchical": "snakecap.models.decoders.hierarchical:HierarchicalDecoder",
    "attention": "snakecap.models.decoders.attention:AttentionDecoder",
    "soft_attention": "snakecap.models.decoders.soft_attention:SoftAttentionDecoder",
    "spatial_attention": "snakecap.models.decoders.spatial_attention:SpatialAttentionDecoder",
    "updown": "snakecap.models.decoders.updown:UpDownDecoder",
    "transformer": "snakecap.models.decoders.transformer:TransformerDecoder",
}
DETECTORS = {
    "yolov2": "snakecap.detectors.yolov2:YOLOv2",
    "yolox": "snakecap.detectors.yolox:YOLOX",
    "torchvision": "snakecap.detectors.torchvision:TorchvisionDetector",
    "truth": "snakecap.detectors.truth:Truth",
    "results": "snakecap.detectors.results:Results",
    "darknet": "snakecap.detectors.darknet_lines:DarknetLines",
}
DATASETS = {
    "shapes": "snakecap.data.shapes:read",
    "coco": "snakecap.data.coco:read",
    "flickr8k": "snakecap.data.flickr8k:read",
    "karpathy": "snakecap.data.karpathy:read",
    "neuraltalk2": "snakecap.data.raw:read",
    "folder": "snakecap.data.folder:read",
    "vg_paragraphs": "snakecap.data.vg_paragraphs:read",
    "vg_regions": "snakecap.data.vg_regions:read",
    "vist": "snakecap.data.vist:read",
    "msrvtt": "snakecap.data.msrvtt:read",
    "trecvid": "snakecap.data.trecvid:read",
    "picsom": "snakecap.data.picsom:read",
    "deepcaption": "snakecap.data.deepcaption:read",
}
TOKENIZERS = {
    "neuraltalk2": "snakecap.text.neuraltalk2:tokenize",
    "treebank": "snakecap.text.treebank:tokenize",
    "densecap": "snakecap.text.densecap:tokenize",
}
SEARCHES = {
    "beam": "snakecap.search.beam:search",
    "consensus": "snakecap.search.consensus:search",
    "diverse": "snakecap.search.diverse:search",
    "greedy": "snakecap.search.greedy:search",
    "sample": "snakecap.search.sample:search",
}
SCHEDULES = {
    "constant": "snakecap.training.schedules.constant:factor",
    "halving": "snakecap.training.schedules.halving:factor",
    "cosine": "snakecap.training.schedules.cosine:factor",
    "linear": "snakecap.training.schedules.linear:factor",
    "noam": "snakecap.training.schedules.noam:factor",
    "plateau": "snakecap.training.schedules.plateau:factor",
    "step": "snakecap.training.schedules.step:factor",
    "triangular": "snakecap.training.schedules.triangular:factor",
}
# What a system does, and so how its stages are trained; rows of `systems` say it as `task`.
TASKS = {
    "caption": "snakecap.tasks.caption:task",
    "dense": "snakecap.tasks.dense:task",
}
OBJECTIVES = {
    "cross_entropy": "snakecap.objectives.cross_entropy:CrossEntropy",
    "dense": "snakecap.objectives.dense:DenseObjective",
    "paragraphs": "snakecap.objectives.paragraphs:Paragraphs",
    "scheduled_sampling": "snakecap.objectives.scheduled_sampling:ScheduledSampling",
    "self_critical": "snakecap.objectives.self_critical:SelfCritical",
}
OPTIMISERS = {
    "adam": "snakecap.training.optimisers:adam",
    "adamw": "snakecap.training.optimisers:adamw",
    "rmsprop": "snakecap.training.optimisers:rmsprop",
    "adagrad": "snakecap.training.optimisers:adagrad",
    "sgd": "snakecap.training.optimisers:sgd",
    "sgdm": "snakecap.training.optimisers:sgdm",
    "sgdmom": "snakecap.training.optimisers:sgdmom",
}
METRICS = {
    "Bleu": "snakecap.metrics.bleu:Bleu",
    "METEOR": "snakecap.metrics.meteor:Meteor",
    "ROUGE_L": "snakecap.metrics.rouge:Rouge",
    "CIDEr": "snakecap.metrics.cider:Cider",
}

FAMILIES = {
    "input": INPUTS,
    "encoder": ENCODERS,
    "backbone": BACKBONES,
    "decoder": DECODERS,
    "detector": DETECTORS,
    "dataset": DATASETS,
    "tokenizer": TOKENIZERS,
    "search": SEARCHES,
    "schedule": SCHEDULES,
    "task": TASKS,
    "objective": OBJECTIVES,
    "optimiser": OPTIMISERS,
    "metric": METRICS,
}


def load(family: str, name: str) -> Any:
    """The object registered as `name`, imported now."""
    return named(location(family, name))


def named(location: str) -> Any:
    """The object at ``module:object``, imported now."""
    module, _, attribute = location.partition(":")
    return getattr(import_module(module), attribute)


def location(family: str, name: str) -> str:
    """``module:object`` of a part.

    Raises:
        ValueError: no such part; the message lists the known ones.
    """
    table = FAMILIES[family]
    if name not in table:
        raise ValueError(f"unknown {family} {name!r}; known: {', '.join(sorted(table))}")
    return table[name]


def module(family: str, name: str) -> str:
    """The module that holds a part: what a stage's code digest must follow."""
    return location(family, name).partition(":")[0]
