# Stages of training: each starts from the model of the one before it.


rule train:
    # reads captions and features (or pictures); writes a model that captions by itself
    input:
        captions=lambda wildcards: PLAN.captions(wildcards.dataset, wildcards.system),
        vocabulary=lambda wildcards: PLAN.words(wildcards.dataset, wildcards.system),
        pictures=lambda wildcards: PLAN.pictures(wildcards.dataset, wildcards.system),
        inputs=lambda wildcards: PLAN.train_inputs(**wildcards),
        previous=lambda wildcards: PLAN.previous(**wildcards),
    output:
        model="<results>/{dataset}/{system}/{stage}/model.safetensors",
        last="<results>/{dataset}/{system}/{stage}/last.safetensors",
        history="<results>/{dataset}/{system}/{stage}/history.json",
    log:
        "<logs>/{dataset}/train_{system}_{stage}.log",
    priority: LONG
    conda:
        "../../envs/snakecap.yaml"
    threads: PLAN.settings.threads
    resources:
        **needs("train", gpu=PLAN.settings.gpus, processes=True),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.train(wildcards.system, wildcards.stage)),
        previous=flag("previous"),
    shell:
        run(
            "train",
            "previous",
            settings="{params.settings:q}",
            captions="{input.captions:q}",
            vocabulary="{input.vocabulary:q}",
            pictures="{input.pictures:q}",
            inputs="{input.inputs:q}",
            model="{output.model:q}",
            last="{output.last:q}",
            history="{output.history:q}",
            device="{resources.device}",
            threads="{threads}",
        )
