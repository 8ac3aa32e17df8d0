# Descriptions of a split's regions, and their scores.


rule describe:
    # reads a dense model and a split's photos; writes boxes with captions
    input:
        model="<results>/{dataset}/{system}/{stage}/model.safetensors",
        pictures=lambda wildcards: PLAN.pictures(wildcards.dataset, wildcards.system),
    output:
        descriptions="<results>/{dataset}/{system}/{stage}/describe/{split}.json",
    log:
        "<logs>/{dataset}/describe_{system}_{stage}_{split}.log",
    conda:
        "../../envs/snakecap.yaml"
    threads: PLAN.settings.threads
    resources:
        **needs("describe", gpu=PLAN.settings.gpus, processes=True),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.describe(wildcards.system)),
    shell:
        run(
            "describe",
            settings="{params.settings:q}",
            model="{input.model:q}",
            pictures="{input.pictures:q}",
            split="{wildcards.split}",
            descriptions="{output.descriptions:q}",
            device="{resources.device}",
            threads="{threads}",
        )


rule score_dense:
    # reads descriptions and the regions to find; writes mAP and its parts
    input:
        descriptions="<results>/{dataset}/{system}/{stage}/describe/{split}.json",
        pictures=lambda wildcards: PLAN.pictures(wildcards.dataset, wildcards.system),
    output:
        scores="<results>/{dataset}/{system}/{stage}/describe/{split}_scores.json",
    log:
        "<logs>/{dataset}/score_dense_{system}_{stage}_{split}.log",
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("score_dense"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.job("score_dense", {})),
    shell:
        run(
            "score_dense",
            predictions="{input.descriptions:q}",
            regions="{input.pictures:q}",
            split="{wildcards.split}",
            scores="{output.scores:q}",
        )
