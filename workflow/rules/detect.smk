# From pictures to the objects in them, and from objects to layouts.


rule train_detector:
    # reads pictures and their own objects; writes a detector
    input:
        pictures="<results>/{dataset}/pictures.json",
        images=lambda wildcards: PLAN.images(wildcards.dataset),
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
        **needs("train_detector", gpu=PLAN.settings.gpus, processes=True),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.train_detector(**wildcards)),
        images=flag("images"),
        root=moved_root,
    shell:
        run(
            "train_detector",
            "images",
            "root",
            photos="{params.job[photos]:q}",
            settings="{params.settings:q}",
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
        weights=lambda wildcards: PLAN.trained_detector(**wildcards),
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
        **needs("detect", gpu=PLAN.settings.gpus),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.detect(**wildcards)),
        images=flag("images"),
        weights=flag("weights"),
        root=moved_root,
    shell:
        run(
            "detect",
            "images",
            "weights",
            "root",
            photos="{params.job[photos]:q}",
            settings="{params.settings:q}",
            pictures="{input.pictures:q}",
            detections="{output.detections:q}",
            info="{output.info:q}",
            rejected="{output.rejected:q}",
            device="{resources.device}",
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
        **job(lambda wildcards: PLAN.job("judge", {})),
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
        **job(lambda wildcards: PLAN.layout(wildcards.layout)),
        images=flag("images"),
    shell:
        run(
            "layout",
            "images",
            settings="{params.settings:q}",
            pictures="{input.pictures:q}",
            detections="{input.detections:q}",
            info="{input.info:q}",
            layout="{output.layout:q}",
        )
