# From squares of pixels to vectors, once for every backbone.


rule features:
    # reads images.h5; writes one vector (or grid) a picture, keyed by file name
    input:
        images="<results>/{dataset}/images.h5",
    output:
        features="<results>/{dataset}/features/{features}.lmdb",
    log:
        "<logs>/{dataset}/features_{features}.log",
    priority: LONG
    conda:
        "../../envs/snakecap.yaml"
    threads: PLAN.settings.threads
    resources:
        **needs("features", gpu=PLAN.settings.gpus, processes=True),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.features_job(wildcards.features)),
    shell:
        run(
            "features",
            settings="{params.settings:q}",
            images="{input.images:q}",
            features="{output.features:q}",
            device="{resources.device}",
            threads="{threads}",
        )
