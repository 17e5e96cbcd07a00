"""`pixq predict`: maps of image files, of one pair or of folders of them, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixq.errors import PixqError
from pixq.predict.decoding import MEMORY, MIB, Opened, Plan, open_pair, plan
from pixq.predict.outputs import Outputs, write
from pixq.predict.pairs import Matched, Pair, pairs
from pixq.predict.resume_log import Ledger
from pixq.predict.tables import Predicted, image_table
from pixq.scoring.grid import STRIDE, Grid
from pixq.scoring.quality_map import QualityMap, Verdict
from pixq.scoring.scorer import Scorer

__all__ = ["Report", "Result", "predict"]

#: What is told the stage, how much of it is done, and of how much.
Stages = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Result:
    """What is said of one pair.

    Parameters
    ----------
    pair
        Its files.
    verdict
        What the model says.
    calibration
        Name of the calibration that made the classes; `None` where there is none.
    before
        Whether an earlier command had computed it.
    """

    pair: Pair
    verdict: Verdict
    calibration: str | None
    before: bool = False


@dataclass(frozen=True)
class Report:
    """What a command did.

    Parameters
    ----------
    matched
        Which files it compared, and which it could not.
    results
        Of the pairs that could be compared.
    failed
        A line for each that could not.
    """

    matched: Matched
    results: tuple[Result, ...]
    failed: tuple[str, ...]


@dataclass
class _Prepared:
    """A pair on its way: computed before, planned, opened, or refused."""

    pair: Pair
    made: dict[str, Any] | None = None
    known: QualityMap | None = None
    planned: Plan | None = None
    opened: Opened | None = None
    refused: PixqError | None = None


@dataclass(frozen=True)
class _Work:
    """What is done with every pair."""

    scorer: Scorer
    outputs: Outputs
    stride: int
    folder: bool
    memory: int
    ledger: Ledger | None
    watch: Stages = field(repr=False)

    def outputs_of(self, pair: Pair) -> Outputs:
        return self.outputs.of(pair) if self.folder else self.outputs

    def prepare(self, pair: Pair, free: int) -> _Prepared:
        """Everything up to scoring that fits into `free` bytes."""
        done, outputs = _Prepared(pair), self.outputs_of(pair)
        try:
            if self.ledger is not None:
                done.made = self.ledger.made(pair, outputs)
                done.known = self.ledger.known(pair, outputs, done.made)
            if done.known is None:
                listed = outputs.json is not None or outputs.csv is not None
                done.planned = plan(pair, self.scorer.size, self.stride, listed=listed)
                if done.planned.together <= free:
                    done.opened = open_pair(done.planned, free)
        except PixqError as error:
            done.refused = error
        return done

    def finish(self, ready: _Prepared, opened: Opened | None) -> QualityMap:
        """Score a pair and write its outputs."""
        assert opened is not None

        def watch(done: int, total: int) -> None:
            opened.release()
            if not self.folder:
                self.watch("patches", done, total)

        found = self.scorer.map(opened.reference, opened.distorted, stride=self.stride, watch=watch)
        outputs = self.outputs_of(ready.pair)
        write(found, opened, ready.pair, self.scorer, outputs)
        if self.ledger is not None and ready.made is not None:
            self.ledger.add(ready.pair, outputs, ready.made)
        return found


def predict(
    scorer: Scorer,
    reference: Path,
    distorted: Path,
    outputs: Outputs | None = None,
    *,
    stride: int = STRIDE,
    memory: int = MEMORY,
    watch: Stages | None = None,
    note: Callable[[str], None] | None = None,
) -> Report:
    """Compare two files, a reference with a folder of distorted images, or two folders matched by name.

    While a pair is scored, the next is decoded. In folders, a pair that can't be compared is noted, and the others are;
    where JSON is written, the same command goes on after the pairs that are done.

    Parameters
    ----------
    scorer
        As `pixq.load` gives it.
    reference, distorted
        Files or folders; see `pixq.predict.pairs.pairs`.
    outputs
        What to write.
    stride
        Pixels between neighbouring patches.
    memory
        MiB for pixels and results at a time; Python and the engine come on top. A pair that needs more is decoded into
        temporary files.
    watch
        Is told the stage, and how much of it is done, of how much.
    note
        Is told of each pair that can't be compared, in one line.

    Raises
    ------
    PixqError
        If nothing can be compared: two files, or all pairs of a folder; or an output can't be written.
    KeyboardInterrupt
        That says how to go on.

    Examples
    --------
    >>> predict(pixq.load("run"), Path("a.png"), Path("b.png")).results[0].verdict.quality  # doctest: +SKIP
    0.83
    """
    outputs = outputs or Outputs()
    # Of any image: a stride that can't be is no matter of a file.
    Grid(scorer.size, scorer.size, scorer.size, stride)
    _ = scorer.decision
    matched = pairs(reference, distorted)
    outputs.check(matched, (reference, distorted))
    tell, say = watch or (lambda stage, done, total: None), note or (lambda line: None)
    ledger = Ledger(outputs.json, scorer, stride) if matched.folder and outputs.json is not None else None
    work = _Work(scorer, outputs, stride, matched.folder, memory * MIB, ledger, tell)
    results: list[Result] = []
    failed: list[str] = []
    table: AbstractContextManager[Callable[[Predicted], None]] = nullcontext(lambda row: None)
    if matched.folder and outputs.csv is not None:
        table = image_table(outputs.csv)
    try:
        with table as add:
            for ready in _ahead(work, matched.pairs):
                try:
                    opened = _opened(work, ready)
                except PixqError as error:
                    if not matched.folder:
                        raise
                    failed.append(str(error))
                    say(str(error))
                else:
                    # Not of this pair alone if it fails: what can't be written now can't be written for the next.
                    found = work.finish(ready, opened) if ready.known is None else ready.known
                    add(Predicted(ready.pair.reference, ready.pair.distorted, found))
                    before = ready.known is not None
                    results.append(Result(ready.pair, found.verdict, found.calibration, before))
                    # Before the next pair is opened, not after.
                    del opened
                if matched.folder:
                    tell("pairs", len(results) + len(failed), len(matched.pairs))
            if not results:
                raise PixqError(
                    f"{distorted}: none of its {len(matched.pairs)} pairs can be compared; the first: {failed[0]}"
                )
    except KeyboardInterrupt:
        if not matched.folder:
            raise
        how = "the same command goes on" if outputs.json is not None else "with --json it would go on after these"
        raise KeyboardInterrupt(f"{len(results)} of {len(matched.pairs)} pairs are done; {how}") from None
    return Report(matched, tuple(results), tuple(failed))


def _opened(work: _Work, ready: _Prepared) -> Opened | None:
    """The images of a pair, which are its caller's then; `None` where nothing is to be looked at."""
    if ready.refused is not None:
        raise ready.refused
    if ready.planned is None:
        return None
    opened, ready.opened = ready.opened or open_pair(ready.planned, work.memory), None
    return opened


def _ahead(work: _Work, some: tuple[Pair, ...]) -> Iterator[_Prepared]:
    """Pairs in their order; while one is used, the next is prepared, as far as memory allows."""
    with ThreadPoolExecutor(1, "pixq-ahead") as pool:
        coming = pool.submit(work.prepare, some[0], work.memory)
        for number, _ in enumerate(some, start=1):
            ready = coming.result()
            if number < len(some):
                held = 0 if ready.planned is None else ready.planned.held + ready.planned.work
                coming = pool.submit(work.prepare, some[number], work.memory - held)
            yield ready
