# snakecap: from photos and captions to trained, scored and shown captioners.
# Settings: config.yaml (checked before any job starts). Rules: workflow/rules.
import os

from snakemake.utils import min_version

min_version("9.0")


# The folder's own, or else this checkout's: a recipe (--configfile) lies over it.
configfile: next(filter(os.path.exists, ["config.yaml", f"{workflow.basedir}/config.yaml"]))


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


pathvars:
    results=PLAN.settings.pathvars["results"],
    logs=PLAN.settings.pathvars["logs"],


wildcard_constraints:
    dataset="[^/]+",
    vocabulary="|".join(PLAN.settings.vocabularies) or "none",
    features="|".join(PLAN.features) or "none",
    detector="|".join(PLAN.detectors) or "none",
    layout="|".join(PLAN.layouts) or "none",
    system="|".join([*PLAN.systems, *PLAN.ensembles]) or "none",
    stage="[A-Za-z0-9_-]+",
    split="train|val|test|extra",


include: "workflow/rules/prepare.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/detect.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/caption.smk"
include: "workflow/rules/dense.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        # Dense systems alone have no captions of pictures to report.
        expand(
            rules.report.output,
            split=PLAN.settings.evaluate if PLAN.evaluated() else (),
        ),
        expand(
            PLAN.dense_files("describe/{split}_scores.json"),
            split=PLAN.settings.evaluate,
        ),
        expand(
            PLAN.evaluated_files("captions/{split}.json"), split=PLAN.settings.caption
        ),
