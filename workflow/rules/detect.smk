# From pictures to the objects in them, and from objects to layouts.


rule train_detector:
    # reads pictures and their own objects; writes a detector
    input:
        pictures="<results>/{dataset}/pictures.json",
        images=lambda wildcards: PLAN.images(wildcards.dataset),
        named=lambda wildcards: PLAN.detector_named(wildcards.detector),
    output:
        model="<results>/{dataset}/detectors/{detector}/model.safetensors",
        history="<results>/{dataset}/detectors/{detector}/history.json",
    log:
        "<logs>/{dataset}/train_detector_{detector}.log",
    priority: LONG
    conda:
        "../../envs/snakecap.yaml"
    threads: PLAN.settings.threads
    resources:
        **needs("train_detector", gpu=PLAN.gpus, processes=True),
        scripts=SCRIPTS,
    params:
        job=lambda wildcards: PLAN.train_detector(wildcards.detector),
        images=flag("images"),
    shell:
        run(
            "train_detector",
            "images",
            settings="{params.job[settings]:q}",
            pictures="{input.pictures:q}",
            model="{output.model:q}",
            history="{output.history:q}",
            device="{resources.device}",
            threads="{threads}",
        )


rule detect:
    # reads pictures (or results, or annotations); writes the objects in them
    input:
        pictures="<results>/{dataset}/pictures.json",
        images=lambda wildcards: PLAN.detected_images(**wildcards),
        weights=lambda wildcards: PLAN.detector_weights(**wildcards),
        results=lambda wildcards: PLAN.detector_results(**wildcards),
        named=lambda wildcards: PLAN.detector_named(wildcards.detector),
    output:
        detections="<results>/{dataset}/detections/{detector}.json",
        info="<results>/{dataset}/detections/{detector}_info.json",
        rejected="<results>/{dataset}/detections/{detector}_rejected.tsv",
    log:
        "<logs>/{dataset}/detect_{detector}.log",
    priority: LONG
    conda:
        "../../envs/snakecap.yaml"
    threads: PLAN.settings.threads
    resources:
        **needs("detect", gpu=PLAN.gpus),
        scripts=SCRIPTS,
        batch_size=lambda wildcards: PLAN.batch_size(detector=wildcards.detector),
    params:
        job=lambda wildcards: PLAN.detect(wildcards.detector),
        images=flag("images"),
        weights=flag("weights"),
    shell:
        run(
            "detect",
            "images",
            "weights",
            settings="{params.job[settings]:q}",
            pictures="{input.pictures:q}",
            detections="{output.detections:q}",
            info="{output.info:q}",
            rejected="{output.rejected:q}",
            device="{resources.device}",
            batch_size="{resources.batch_size}",
            threads="{threads}",
        )


rule judge:
    # reads detections and the data set's own objects; writes average precision
    input:
        pictures="<results>/{dataset}/pictures.json",
        detections="<results>/{dataset}/detections/{detector}.json",
        info="<results>/{dataset}/detections/{detector}_info.json",
    output:
        scores="<results>/{dataset}/detections/{detector}_scores.json",
    log:
        "<logs>/{dataset}/judge_{detector}.log",
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("judge"),
        scripts=SCRIPTS,
    params:
        job=PLAN.job("judge", {}),
    shell:
        run(
            "judge",
            pictures="{input.pictures:q}",
            detections="{input.detections:q}",
            info="{input.info:q}",
            scores="{output.scores:q}",
        )


rule layout:
    # reads detections; writes each picture's objects as systems read them
    input:
        pictures="<results>/{dataset}/pictures.json",
        images=lambda wildcards: PLAN.images(wildcards.dataset),
        detections=lambda wildcards: PLAN.detections(**wildcards, file=".json"),
        info=lambda wildcards: PLAN.detections(**wildcards, file="_info.json"),
    output:
        layout="<results>/{dataset}/layouts/{layout}.h5",
        beside="<results>/{dataset}/layouts/{layout}.json",
    log:
        "<logs>/{dataset}/layout_{layout}.log",
    priority: LONG
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("layout"),
        scripts=SCRIPTS,
    params:
        job=lambda wildcards: PLAN.layout(wildcards.layout),
        images=flag("images"),
    shell:
        run(
            "layout",
            "images",
            settings="{params.job[settings]:q}",
            pictures="{input.pictures:q}",
            detections="{input.detections:q}",
            info="{input.info:q}",
            layout="{output.layout:q}",
        )
