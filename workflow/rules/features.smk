# From squares of pixels to vectors, once for every backbone.


rule features:
    # reads images.h5; writes one vector (or grid) a picture, keyed by file name
    input:
        images="<results>/{dataset}/images.h5",
        weights=lambda wildcards: PLAN.weights(wildcards.features),
    output:
        features="<results>/{dataset}/features/{features}.lmdb",
    log:
        "<logs>/{dataset}/features_{features}.log",
    priority: LONG
    conda:
        "../../envs/snakecap.yaml"
    threads: PLAN.settings.threads
    resources:
        **needs("features", gpu=PLAN.gpus, processes=True),
        scripts=SCRIPTS,
        batch_size=lambda wildcards: PLAN.batch_size(features=wildcards.features),
    params:
        job=lambda wildcards: PLAN.features_job(wildcards.features),
    shell:
        run(
            "features",
            settings="{params.job[settings]:q}",
            images="{input.images:q}",
            features="{output.features:q}",
            device="{resources.device}",
            batch_size="{resources.batch_size}",
            threads="{threads}",
        )
