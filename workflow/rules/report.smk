# One table, the curves, and a page that opens from disk.


rule report:
    # reads captions, scores and histories of every system; writes what people look at
    input:
        pictures=f"<results>/{PLAN.dataset}/pictures.json",
        images=PLAN.images(PLAN.dataset),
        references=f"<results>/{PLAN.dataset}/references/{{split}}.json",
        captions=PLAN.evaluated_files("captions/{split}.json"),
        alphas=PLAN.evaluated_files("captions/{split}_alphas.npy"),
        scores=PLAN.evaluated_files("scores/{split}.json"),
        controls=PLAN.evaluated_files("scores/{split}_shuffled.json"),
        histories=PLAN.histories(),
        layouts=PLAN.layout_files(),
        detectors=PLAN.detector_files("_info.json"),
        detector_scores=PLAN.detector_files("_scores.json"),
    output:
        table=report(
            f"<results>/{PLAN.dataset}/report/{{split}}/table.csv",
            caption="../report/table.rst",
            category="Scores",
            labels={"split": "{split}"},
        ),
        markdown=f"<results>/{PLAN.dataset}/report/{{split}}/table.md",
        curves=report(
            f"<results>/{PLAN.dataset}/report/{{split}}/curves.svg",
            caption="../report/curves.rst",
            category="Training",
            labels={"split": "{split}"},
        ),
        page=report(
            f"<results>/{PLAN.dataset}/report/{{split}}/index.html",
            caption="../report/page.rst",
            category="Captions",
            labels={"split": "{split}"},
        ),
        figure=f"<results>/{PLAN.dataset}/report/{{split}}/figure.png",
    log:
        f"<logs>/{PLAN.dataset}/report_{{split}}.log",
    conda:
        "../../envs/snakecap.yaml"
    resources:
        **needs("report"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.report()),
        systems=["/".join(pair) for pair in PLAN.evaluated()],
        trained=["/".join(pair) for pair in PLAN.trained()],
        reads=PLAN.reads(),
        configuration=lambda wildcards: PLAN.configuration(wildcards.split),
        images=flag("images"),
    shell:
        run(
            "report",
            "images",
            settings="{params.settings:q}",
            pictures="{input.pictures:q}",
            references="{input.references:q}",
            systems="{params.systems:q}",
            captions="{input.captions:q}",
            alphas="{input.alphas:q}",
            scores="{input.scores:q}",
            controls="{input.controls:q}",
            histories="{input.histories:q}",
            trained="{params.trained:q}",
            layouts="{input.layouts:q}",
            reads="{params.reads:q}",
            configuration="{params.configuration:q}",
            detectors="{input.detectors:q}",
            detector_scores="{input.detector_scores:q}",
            table_md="{output.markdown:q}",
            table_csv="{output.table:q}",
            curves="{output.curves:q}",
            page="{output.page:q}",
            figure="{output.figure:q}",
        )
