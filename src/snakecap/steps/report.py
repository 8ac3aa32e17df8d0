"""The report: the table, the curves, the page and the README's figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from snakecap.config.settings import Report
from snakecap.formats import pictures as picture_files
from snakecap.formats.atomic import write_text, writing
from snakecap.provenance import staleness
from snakecap.provenance.identity import Output, step
from snakecap.report import curves as plots
from snakecap.report import entries as entry_files
from snakecap.report import figure as figures
from snakecap.report import gallery, tables
from snakecap.report import layouts as layout_files
from snakecap.report import page as pages
from snakecap.report.differences import differences

FIGURE_PICTURES = 4


@step
def report(
    *,
    pictures: Path,
    systems: list[str],
    captions: list[Path],
    scores: list[Path],
    references: Path,
    table_md: Annotated[Path, Output],
    table_csv: Annotated[Path, Output],
    curves: Annotated[Path, Output],
    page: Annotated[Path, Output],
    images: Path | None = None,
    alphas: list[Path] | None = None,
    controls: list[Path] | None = None,
    histories: list[Path] | None = None,
    trained: list[str] | None = None,
    readme: Path | None = None,
    figure: Annotated[Path | None, Output] = None,
    layouts: list[Path] | None = None,
    reads: list[str] | None = None,
    detectors: list[Path] | None = None,
    detector_scores: list[Path] | None = None,
    configuration: list[str] | None = None,
    settings: Report = Report(),
) -> None:
    """Compare systems: a table, training curves and a page that opens from disk.

    Args:
        pictures: the data set, pictures.json.
        systems: name/stage of each system; the lists below run parallel to it.
        captions: results JSON of each.
        scores: scores JSON of each; CIDEr must be among its metrics.
        references: COCO captions JSON that the scores were made with.
        table_md: output, Markdown.
        table_csv: output, CSV with every digit.
        curves: output, SVG.
        page: output, HTML.
        images: images.h5; without it the page and the figure show layouts, or names alone.
        alphas: .npy of each: what the captions' words look at in their pictures' grids.
        controls: scores JSON of each system's shuffled-image control.
        histories: history.json of each.
        trained: the systems that have one, where not all do.
        readme: a README whose table, between its two markers, is replaced.
        figure: output, PNG: a few pictures with every system's caption.
        layouts: JSON of every layout that some system reads.
        reads: name of the layout that each system reads, or a dot.
        detectors: info JSON of the detectors that the layouts come from.
        detector_scores: scores JSON of each of them.
        configuration: FILE=DIGEST of the settings that every result should have, FILE relative to
            the folder of pictures.json; what was made with others is marked.
        settings: title, how many pictures, and their size.

    Raises:
        ValueError: the lists do not match, a file is not what it should be, a picture or its
            layout is unknown, or the README has no markers.
    """
    optional = controls or [], histories or [], reads or [], trained or [], alphas or []
    folder = pictures.parent
    wanted = None if configuration is None else staleness.read_configuration(configuration, folder)
    entries = entry_files.read(systems, captions, scores, *optional, wanted)
    named = layout_files.read(layouts or [], entries)
    collection = picture_files.read(pictures)
    shown = gallery.pictures_of(collection.pictures, pictures, references, entries)
    splits = list(dict.fromkeys(picture.split for picture in shown))
    table = tables.scores(entries)
    learnt = {one for picture in collection.split("train") for one in picture.captions}
    texts: dict[str, Any] = {
        "title": settings.title,
        "subtitle": f"{len(shown):,} pictures of the {' and '.join(splits)} split",
        "tables": tables.texts(
            table,
            differences(entries, settings.pairs),
            tables.detectors(detectors or [], detector_scores or [], splits),
            tables.diversity(entries, learnt),
        ),
    }
    if readme is not None:
        tables.insert(readme, pages.render("table.md", whole=False, **texts))
    if figure is not None:
        some = gallery.evenly(shown, FIGURE_PICTURES)
        with writing(figure) as temporary:
            drawn = figures.draw(gallery.panels(entries, some, images, named))
            drawn.save(temporary, "PNG")
    drawing, some = plots.draw(entries), gallery.evenly(shown, settings.shown)
    data, small = gallery.data(entries, some, images, settings.thumbnail, named)
    write_text(table_csv, tables.comma_separated(table))
    write_text(curves, drawing)
    write_text(page, pages.build(data=data, thumbnails=small, curves=drawing, **texts))
    write_text(table_md, pages.render("table.md", whole=True, **texts))
