# From raw files to packed arrays: download, annotations, combine, resize, regions, vocabulary,
# encode.


rule download:
    # reads the network or local paths; writes under downloads/, and a manifest of what is there
    output:
        manifest="<results>/{dataset}/downloads.json",
    log:
        "<logs>/{dataset}/download.log",
    localrule: True
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("download"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.download(wildcards.dataset)),
        folder=uncompared(lambda wildcards: PLAN.folder(wildcards.dataset)),
    shell:
        run(
            "download",
            downloads="{params.settings:q}",
            folder="{params.folder:q}",
            manifest="{output.manifest:q}",
        )


rule annotations:
    # reads a data set's own files; writes one record a picture
    input:
        manifest=lambda wildcards: PLAN.manifests(wildcards.dataset),
    output:
        pictures="<results>/{dataset}/pictures.json",
    log:
        "<logs>/{dataset}/annotations.log",
    wildcard_constraints:
        dataset="[^/+]+",
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("annotations"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.annotations(wildcards.dataset)),
        folder=uncompared(lambda wildcards: PLAN.folder(wildcards.dataset)),
        manifest=flag("manifest"),
    shell:
        run(
            "annotations",
            "manifest",
            settings="{params.settings:q}",
            folder="{params.folder:q}",
            pictures="{output.pictures:q}",
        )


rule combine:
    # reads several data sets' records; writes those of a+b
    input:
        parts=lambda wildcards: expand(
            "<results>/{dataset}/pictures.json", dataset=wildcards.datasets.split("+")
        ),
    output:
        pictures="<results>/{datasets}/pictures.json",
    log:
        "<logs>/{datasets}/combine.log",
    wildcard_constraints:
        datasets="[^/]+\\+[^/]+",
    localrule: True
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("combine"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.job("combine", {})),
        names=lambda wildcards: wildcards.datasets.split("+"),
    shell:
        run(
            "combine",
            inputs="{input.parts:q}",
            pictures="{output.pictures:q}",
            names="{params.names:q}",
        )


rule resize:
    # reads picture files; writes one array of squares, and the list of what could not be read
    input:
        pictures="<results>/{dataset}/pictures.json",
    output:
        images="<results>/{dataset}/images.h5",
        rejected="<results>/{dataset}/rejected.tsv",
    log:
        "<logs>/{dataset}/resize.log",
    conda:
        "../../envs/snakecap.yaml"
    threads: 8  # Snakemake gives at most --cores
    resources:
        **needs("resize"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.resize(wildcards.dataset)),
        root=moved_root,
    shell:
        run(
            "resize",
            "root",
            photos="{params.job[photos]:q}",
            settings="{params.settings:q}",
            pictures="{input.pictures:q}",
            images="{output.images:q}",
            rejected="{output.rejected:q}",
            workers="{threads}",
        )


rule regions:
    # reads pictures, their regions and photos; writes the regions that dense systems learn
    input:
        pictures="<results>/{dataset}/pictures.json",
    output:
        regions="<results>/{dataset}/regions/{vocabulary}.json",
        left_out="<results>/{dataset}/regions/{vocabulary}_left_out.tsv",
    log:
        "<logs>/{dataset}/regions_{vocabulary}.log",
    conda:
        "../../envs/snakecap.yaml"
    threads: 8  # Snakemake gives at most --cores
    resources:
        **needs("regions"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.regions(**wildcards)),
        root=moved_root,
    shell:
        run(
            "regions",
            "root",
            photos="{params.job[photos]:q}",
            settings="{params.settings:q}",
            pictures="{input.pictures:q}",
            regions="{output.regions:q}",
            left_out="{output.left_out:q}",
            workers="{threads}",
        )


rule vocabulary:
    # reads captions; writes the words that are kept
    input:
        pictures=lambda wildcards: PLAN.described(**wildcards),
    output:
        vocabulary="<results>/{dataset}/vocabularies/{vocabulary}.json",
    log:
        "<logs>/{dataset}/vocabulary_{vocabulary}.log",
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("vocabulary"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.text("vocabulary", wildcards.vocabulary)),
    shell:
        run(
            "vocabulary",
            settings="{params.settings:q}",
            pictures="{input.pictures:q}",
            vocabulary="{output.vocabulary:q}",
        )


rule encode:
    # reads captions and the vocabulary; writes NeuralTalk2's arrays of word ids
    input:
        pictures=lambda wildcards: PLAN.described(**wildcards),
        vocabulary="<results>/{dataset}/vocabularies/{vocabulary}.json",
        images=lambda wildcards: PLAN.encoded_images(**wildcards),
    output:
        captions="<results>/{dataset}/captions/{vocabulary}.h5",
        beside="<results>/{dataset}/captions/{vocabulary}.json",
    log:
        "<logs>/{dataset}/encode_{vocabulary}.log",
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("encode"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.text("encode", wildcards.vocabulary)),
        images=flag("images"),
    shell:
        run(
            "encode",
            "images",
            settings="{params.settings:q}",
            pictures="{input.pictures:q}",
            vocabulary="{input.vocabulary:q}",
            captions="{output.captions:q}",
        )


rule references:
    # reads captions; writes them as COCO captions JSON, which every scorer reads
    input:
        pictures="<results>/{dataset}/pictures.json",
        images=lambda wildcards: PLAN.images(wildcards.dataset),
    output:
        references="<results>/{dataset}/references/{split}.json",
    log:
        "<logs>/{dataset}/references_{split}.log",
    localrule: True
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("references"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.job("references", {})),
        images=flag("images"),
    shell:
        run(
            "references",
            "images",
            pictures="{input.pictures:q}",
            split="{wildcards.split}",
            references="{output.references:q}",
        )
