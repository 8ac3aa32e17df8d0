"""The `report` stage: the table, the curves, the page and the README's figure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from snakecap.config.settings import Report
from snakecap.formats.atomic import write_text, writing
from snakecap.provenance import staleness
from snakecap.report import curves as plots
from snakecap.report import detectors as judgements
from snakecap.report import entries as entry_files
from snakecap.report import figure as figures
from snakecap.report import gallery, markdown, tables
from snakecap.report import layouts as layout_files
from snakecap.report import page as pages
from snakecap.report.detectors import Judged
from snakecap.report.differences import Difference, differences
from snakecap.report.entries import Entry
from snakecap.report.gallery import Subject
from snakecap.report.layouts import Layouts

FIGURE_PICTURES = 4


def report(
    *,
    pictures: Path,
    systems: list[str],
    captions: list[Path],
    scores: list[Path],
    references: Path,
    table_md: Path,
    table_csv: Path,
    curves: Path,
    page: Path,
    images: Path | None = None,
    controls: list[Path] | None = None,
    histories: list[Path] | None = None,
    readme: Path | None = None,
    figure: Path | None = None,
    layouts: list[Path] | None = None,
    reads: list[str] | None = None,
    detectors: list[Path] | None = None,
    detector_scores: list[Path] | None = None,
    planned: list[str] | None = None,
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
        images: images.h5; without it the page and the figure show layouts alone.
        controls: scores JSON of each system's shuffled-image control.
        histories: history.json of each.
        readme: a README whose table, between its two markers, is replaced.
        figure: output, PNG: a few pictures with every system's caption.
        layouts: JSON of every layout that some system reads.
        reads: name of the layout that each system reads, or a hyphen.
        detectors: info JSON of the detectors that the layouts come from.
        detector_scores: scores JSON of each of them.
        planned: FILE=DIGEST of the settings of every result as the configuration has them, FILE
            relative to the folder of pictures.json; what was made with others is marked.
        settings: title, how many pictures, and their size.

    Raises:
        ValueError: the lists do not match, a file is not what it should be, a captioned picture
            or its layout is unknown, the README has no markers, or a figure is asked for without
            images and layouts.
    """
    if figure is not None and images is None and not layouts:
        raise ValueError("a figure needs images, or layouts: give images.h5")
    optional = controls or [], histories or [], reads or []
    wanted = None if planned is None else staleness.read_planned(planned, pictures.parent)
    entries = entry_files.read(systems, captions, scores, *optional, wanted)
    seen = layout_files.read(layouts or [], entries)
    subjects = gallery.subjects(pictures, references, entries)
    judged = judgements.read(detectors or [], detector_scores or [], gallery.splits(subjects))
    story = _Story(settings, entries, subjects, seen, images, judged)
    if readme is not None:
        tables.insert(readme, story.summary())
    drawing = plots.draw(entries)
    html = story.page(drawing)
    if figure is not None:
        story.save_figure(figure)
    write_text(table_csv, tables.comma_separated(story.rows))
    write_text(curves, drawing)
    write_text(page, html)
    write_text(table_md, story.table())


@dataclass(frozen=True)
class _Story:
    """What was found out, and the forms in which it is told."""

    settings: Report
    entries: list[Entry]
    subjects: list[Subject]
    layouts: list[Layouts]
    images: Path | None
    judged: list[Judged]

    @cached_property
    def rows(self) -> list[tables.Row]:
        """The lines of the table."""
        return tables.rows(self.entries)

    @cached_property
    def differences(self) -> list[Difference]:
        """How far the systems are apart."""
        return differences(self.entries, self.settings.pairs)

    @property
    def subtitle(self) -> str:
        """How many pictures, of which split."""
        return gallery.subtitle(self.subjects)

    def summary(self) -> str:
        """The README's table."""
        return f"{markdown.scores(self.rows)}\n{self.subtitle}."

    def table(self) -> str:
        """All tables, in Markdown."""
        text = markdown.document(self.rows, self.judged, self.differences)
        return f"# {self.settings.title}\n\n{self.subtitle}.\n\n{text}"

    def page(self, curves: str) -> str:
        """The page, in HTML, with the curves in it."""
        side, shown = self.settings.thumbnail, gallery.evenly(self.subjects, self.settings.shown)
        data, small = gallery.data(self.entries, shown, self.images, side, self.layouts)
        return pages.build(
            title=self.settings.title,
            subtitle=self.subtitle,
            data=data,
            thumbnails=small,
            scores=pages.scores_html(self.rows, self.differences, self.judged),
            curves=curves,
        )

    def save_figure(self, path: Path) -> None:
        """Draw a few pictures with every system's caption."""
        chosen = gallery.evenly(self.subjects, FIGURE_PICTURES)
        panels = gallery.panels(self.entries, chosen, self.images, self.layouts)
        with writing(path) as temporary:
            figures.draw(panels).save(temporary, "PNG")
