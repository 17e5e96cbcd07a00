"""`pixq predict`: maps of one pair of image files, or of folders of them, in bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pixq import ranges
from pixq.errors import DamagedImageWarning, PixqError
from pixq.io.images import Background, ReadOptions
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.io.text import is_pipe, pipes_as_files
from pixq.predict.decoding import MEMORY, MIB, DecodePlan, Opened, open_pair, plan
from pixq.predict.json_file import PixelsEntry, Prediction
from pixq.predict.outputs import Outputs, write
from pixq.predict.pairs import Matched, Pair, match_pairs
from pixq.predict.resume_log import ResumeLog
from pixq.predict.tables import Predicted, image_table
from pixq.scoring.backgrounds import DEFAULT_BACKGROUNDS, check_backgrounds, worst_background
from pixq.scoring.grid import STRIDE, Grid
from pixq.scoring.quality_map import QualityMap, Verdict
from pixq.scoring.scorer import Scorer

__all__ = ["Report", "Result", "predict"]


@dataclass(frozen=True)
class Result:
    """The result for one pair.

    Parameters
    ----------
    pair
        Its files.
    verdict
        The summary of its map.
    calibration
        Name of the calibration that set the classes; `None` if there is none.
    before
        Whether an earlier command computed it.
    pixels
        Which pixels were compared; `None` if an earlier version of pixq computed it.
    """

    pair: Pair
    verdict: Verdict
    calibration: str | None
    before: bool = False
    pixels: PixelsEntry | None = None


@dataclass(frozen=True)
class Report:
    """What a command did.

    Parameters
    ----------
    matched
        The files that it compared, and those without a partner.
    results
        Results of the pairs that could be compared.
    failed
        One line for each pair that could not.
    """

    matched: Matched
    results: tuple[Result, ...]
    failed: tuple[str, ...]


@dataclass
class _Prepared:
    """A pair on its way: finished by an earlier command, planned, opened, or refused."""

    pair: Pair
    inputs: dict[str, Any] | None = None
    finished: Prediction | None = None
    planned: DecodePlan | None = None
    opened: Opened | None = None
    refused: PixqError | None = None


@dataclass(frozen=True)
class _Work:
    """The steps that every pair goes through."""

    scorer: Scorer
    outputs: Outputs
    stride: int
    folder: bool
    memory: int
    log: ResumeLog | None
    reading: ReadOptions
    backgrounds: tuple[Background, ...]
    on_progress: ProgressCallback = field(repr=False)

    def outputs_of(self, pair: Pair) -> Outputs:
        return self.outputs.of(pair) if self.folder else self.outputs

    def prepare(self, pair: Pair, free: int) -> _Prepared:
        """Do everything before scoring that fits into `free` bytes."""
        prepared, outputs = _Prepared(pair), self.outputs_of(pair)
        try:
            outputs.check_names(pair)
            if self.log is not None:
                prepared.inputs = self.log.inputs(pair, outputs)
                prepared.finished = self.log.finished(pair, outputs, prepared.inputs)
            if prepared.finished is None:
                listed = outputs.json is not None or outputs.csv is not None
                prepared.planned = plan(pair, self.scorer.size, self.stride, listed=listed, reading=self.reading)
                if prepared.planned.together <= free:
                    prepared.opened = open_pair(prepared.planned, free)
        except PixqError as error:
            prepared.refused = error
        return prepared

    def prepare_ahead(self, pairs: tuple[Pair, ...]) -> Iterator[_Prepared]:
        """Prepare pairs in order; while one is used, the next is prepared on a thread, as far as memory allows."""
        with ThreadPoolExecutor(1, "pixq-ahead") as pool:
            coming = pool.submit(self.prepare, pairs[0], self.memory)
            for number, _ in enumerate(pairs, start=1):
                prepared = coming.result()
                if number < len(pairs):
                    held = 0 if prepared.planned is None else prepared.planned.held + prepared.planned.work
                    coming = pool.submit(self.prepare, pairs[number], self.memory - held)
                yield prepared

    def finish(self, prepared: _Prepared) -> tuple[QualityMap, PixelsEntry | None]:
        """The map of a pair and what it is of: from an earlier command, or scored now and its outputs written."""
        if prepared.finished is not None:
            pixels = prepared.finished.pixels
            if pixels is not None:
                _warn_again(prepared.pair, pixels)
            return prepared.finished.map, pixels
        assert prepared.opened is not None
        # Nothing else holds the pixels, so that they are freed before the next pair is opened.
        opened, prepared.opened = prepared.opened, None
        background: Background | None = None
        if opened.transparent:
            quality_map, opened, background = self.worst(opened)
        else:
            quality_map = self.map(opened)
        planned = prepared.planned
        assert planned is not None
        pixels = PixelsEntry.of(self.reading, planned.profiles, planned.notes, self.backgrounds, background)
        outputs = self.outputs_of(prepared.pair)
        write(quality_map, opened, prepared.pair, self.scorer, outputs, pixels)
        if self.log is not None and prepared.inputs is not None:
            self.log.add(prepared.pair, outputs, prepared.inputs)
        return quality_map, pixels

    def map(self, opened: Opened) -> QualityMap:
        """Score a pair without transparent pixels."""

        def on_progress(stage: str, done: int, total: int, note: str = "") -> None:
            opened.release()
            if not self.folder:
                self.on_progress(stage, done, total, note)

        return self.scorer.map(opened.reference, opened.distorted, stride=self.stride, on_progress=on_progress)

    def worst(self, opened: Opened) -> tuple[QualityMap, Opened, Background]:
        """Score a pair on every background: the map that counts, and the images on its background."""
        maps = {background: self.map(opened.composed(background)) for background in self.backgrounds}
        background = worst_background(maps)
        return maps[background], opened.composed(background), background

    def open(self, prepared: _Prepared) -> None:
        """Open a pair that is neither finished nor opened yet.

        Raises
        ------
        PixqError
            If it can't be compared.
        """
        if prepared.refused is not None:
            raise prepared.refused
        if prepared.planned is not None and prepared.opened is None:
            prepared.opened = open_pair(prepared.planned, self.memory)


def _warn_again(pair: Pair, pixels: PixelsEntry) -> None:
    """Warn of what was wrong with the files of a pair when an earlier command read them."""
    for path, notes in ((pair.reference, pixels.reference_notes), (pair.distorted, pixels.distorted_notes)):
        for note in notes:
            warnings.warn(f"{path}: {note}", DamagedImageWarning, stacklevel=2)


def predict(
    scorer: Scorer,
    reference: Path,
    distorted: Path,
    outputs: Outputs | None = None,
    *,
    stride: int = STRIDE,
    memory: int = MEMORY,
    colour_management: bool = True,
    backgrounds: Sequence[Background] = DEFAULT_BACKGROUNDS,
    frame: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
    warn: Callable[[str], None] | None = None,
) -> Report:
    """Compare two files, a reference with a folder of distorted images, or two folders matched by name.

    While a pair is scored, the next is decoded. In folders, a pair that can't be compared is reported, and the others
    go on; where JSON is written, the same command skips the pairs that are done.

    Parameters
    ----------
    scorer
        A model, as `pixq.load` returns it.
    reference, distorted
        Files or folders; see `pixq.predict.pairs.match_pairs`. Of two files, either may be a pipe, which is read once.
    outputs
        What to write.
    stride
        Pixels between neighbouring patches.
    memory
        MiB for pixels and results at a time; Python and the engine come on top. A pair that needs more is decoded into
        temporary files.
    colour_management
        Whether images with a profile are converted to sRGB; if not, the files' own samples are compared.
    backgrounds
        What a pair with transparent pixels is put on, one after the other; the worst result counts (see
        `pixq.scoring.backgrounds.worst_background`).
    frame
        Which frame of animations, or page of TIFFs; files that hold one image ignore it. Without it, files that have
        several are refused.
    on_progress
        Called with the stage `patches` for a pair of files, and `pairs` for folders.
    warn
        Called with one line for each pair that can't be compared.

    Raises
    ------
    PixqError
        If nothing can be compared, neither the two files nor any pair of the folders, or an output can't be written.
    KeyboardInterrupt
        When interrupted; it says how to resume.

    Examples
    --------
    >>> predict(pixq.load("run"), Path("a.png"), Path("b.png")).results[0].verdict.quality  # doctest: +SKIP
    0.83
    """
    ranges.MEMORY.check(memory, "--memory")
    backgrounds = check_backgrounds(backgrounds)
    reading = ReadOptions(colour_management=colour_management, frame=frame)
    outputs = outputs or Outputs()
    # On an image that always fits, so that a wrong stride is not blamed on a file.
    Grid(scorer.size, scorer.size, scorer.size, stride)
    _ = scorer.decision
    if distorted.is_dir() and is_pipe(reference):
        raise PixqError(f"{reference}: is a pipe, but is needed for each image of {distorted}; save it as a file")
    with pipes_as_files(reference, distorted) as files:
        matched = match_pairs(*files)
        if not matched.folder:
            matched = replace(matched, pairs=(replace(matched.pairs[0], labels=(reference, distorted)),))
        outputs.check(matched, files)
        log = None
        if matched.folder and outputs.json is not None:
            log = ResumeLog(outputs.json, scorer, stride, reading, backgrounds)
        work = _Work(scorer, outputs, stride, matched.folder, memory * MIB, log, reading, backgrounds, on_progress)
        return _compare(work, matched, distorted, warn)


def _compare(work: _Work, matched: Matched, distorted: Path, warn: Callable[[str], None] | None) -> Report:
    outputs = work.outputs
    results: list[Result] = []
    failed: list[str] = []
    table: AbstractContextManager[Callable[[Predicted], None]] = nullcontext(lambda row: None)
    if matched.folder and outputs.csv is not None:
        table = image_table(outputs.csv)
    try:
        with table as add:
            for prepared in work.prepare_ahead(matched.pairs):
                pair = prepared.pair
                try:
                    work.open(prepared)
                except PixqError as error:
                    if not matched.folder:
                        raise
                    failed.append(str(error))
                    if warn is not None:
                        warn(str(error))
                else:
                    # An error here ends the command: what can't be written now can't be written for the next pair.
                    before = prepared.finished is not None
                    quality_map, pixels = work.finish(prepared)
                    add(Predicted(*pair.names, quality_map))
                    results.append(Result(pair, quality_map.verdict, quality_map.calibration, before, pixels))
                if matched.folder:
                    work.on_progress("pairs", len(results) + len(failed), len(matched.pairs))
            if not results:
                raise PixqError(
                    f"{distorted}: none of the {len(matched.pairs)} pairs can be compared; the first: {failed[0]}"
                )
    except KeyboardInterrupt:
        if not matched.folder:
            raise
        resume = "the same command resumes here" if outputs.json is not None else "only with --json can it be resumed"
        raise KeyboardInterrupt(f"{len(results)} of {len(matched.pairs)} pairs are done; {resume}") from None
    return Report(matched, tuple(results), tuple(failed))
