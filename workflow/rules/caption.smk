# Captions of a split, those of the shuffled-image control, and the scores of both.


rule caption:
    # reads a model and a split's pictures (or features); writes COCO results
    input:
        model=lambda wildcards: PLAN.model_files(**wildcards),
        pictures="<results>/{dataset}/pictures.json",
        inputs=lambda wildcards: PLAN.caption_inputs(**wildcards),
    output:
        captions="<results>/{dataset}/{system}/{stage}/captions/{split}.json",
        shuffled="<results>/{dataset}/{system}/{stage}/captions/{split}_shuffled.json",
        alphas="<results>/{dataset}/{system}/{stage}/captions/{split}_alphas.npy",
    log:
        "<logs>/{dataset}/caption_{system}_{stage}_{split}.log",
    conda:
        "../../envs/snakecap.yaml"
    threads: PLAN.settings.threads
    resources:
        **needs("caption", gpu=PLAN.settings.gpus, processes=True),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.caption(wildcards.system)),
    shell:
        run(
            "caption",
            settings="{params.settings:q}",
            model="{input.model:q}",
            pictures="{input.pictures:q}",
            inputs="{input.inputs:q}",
            split="{wildcards.split}",
            captions="{output.captions:q}",
            shuffled="{output.shuffled:q}",
            alphas="{output.alphas:q}",
            device="{resources.device}",
            threads="{threads}",
        )


rule score:
    # reads captions, and the control's, and references; writes every metric, overall and by picture
    input:
        captions="<results>/{dataset}/{system}/{stage}/captions/{split}.json",
        shuffled="<results>/{dataset}/{system}/{stage}/captions/{split}_shuffled.json",
        references="<results>/{dataset}/references/{split}.json",
    output:
        scores="<results>/{dataset}/{system}/{stage}/scores/{split}.json",
        shuffled="<results>/{dataset}/{system}/{stage}/scores/{split}_shuffled.json",
    log:
        "<logs>/{dataset}/score_{system}_{stage}_{split}.log",
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("score"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.score()),
    shell:
        run(
            "score",
            settings="{params.settings:q}",
            results="{input.captions:q} {input.shuffled:q}",
            scores="{output.scores:q} {output.shuffled:q}",
            references="{input.references:q}",
        )
