"""The command line: one module per command, which parses its options and calls a library function.

Data goes to stdout, progress and messages to stderr. A mistake in the input is reported in one line, with exit code 2.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper

from cyclopts import App, CycloptsError

from pixq._version import __version__
from pixq.cli.console import at_console
from pixq.cli.messages import note
from pixq.errors import PixqError, one_line

__all__ = ["app", "main"]

app = App(
    name="pixq",
    help="Would a person notice this local change in an image?",
    version=__version__,
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    help_epilogue="Add --debug to print the traceback of an error, for a bug report.",
)
DEBUG = "--debug"

# Names, not imports, so that `pixq --help` does not load the commands.
VERBS = {
    "datasets": "List the datasets pixq reads, and what each needs on disk.",
    "inspect": "Count and draw what a dataset holds; name what is missing, duplicated or extra.",
    "build-patches": "Build a patch set from a dataset of human scores.",
    "verify": "Check a patch set's files and splits.",
    "show": "Draw a contact sheet of a patch set.",
    "train": "Train a patch-quality model on a patch set.",
    "adapt": "Adapt a trained model to unlabelled patches.",
    "calibrate": "Choose the scores at which patches become Orange and Green, for a target domain.",
    "evaluate": "Measure the decisions of a run, and compare them with those of simpler methods.",
    "predict": "Show where, and how visibly, images differ from their references: scores and quality maps.",
    "pjnd": "Predict the level of a ladder at which a person begins to notice.",
    "critical": "Find the places in an image where a person would see a ladder's distortion first.",
    "ladder": "Make ladders: images encoded at rising levels of a codec or a distortion.",
    "smallest": "Write the smallest file of each photograph whose difference nobody notices.",
    "serve": "Serve a page that shows where two images differ visibly.",
    "study": "Run a study in browsers: at which level do people notice a change, and where?",
    "report": "Write the report of a run: one HTML file that opens offline.",
    "compare": "Compare runs side by side.",
    "export": "Write a patch set as PNG folders, Parquet or NumPy arrays, or a trained model as ONNX.",
    "distort": "Make a dataset with synthetic scores from your own references.",
    "draw": "Draw a table of contrast thresholds or of colour pairs as a dataset of images.",
    "demo": "Try everything on photographs that come with pixq.",
}
for name, what in VERBS.items():
    module = name.replace("-", "_")
    app.command(f"pixq.cli.{module}:{module}", name=name, help=what)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `pixq` with `arguments` (default: `sys.argv[1:]`) and return its exit code.

    0: success. 1: success, but some input was skipped. 2: a mistake in the input or the options. 70: pixq failed, or
    memory ran out. 130: interrupted. 141: the reader of stdout closed it. With `--debug`, the traceback of an error is
    printed as well.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    options = tokens[: tokens.index("--")] if "--" in tokens else tokens
    if debug := DEBUG in options:
        tokens.remove(DEBUG)
    if isinstance(sys.stdout, TextIOWrapper):
        # File names may hold bytes that are not text; these are escaped.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with at_console():
            code = app(tokens, exit_on_error=False, print_error=False)
    except (SystemExit, GeneratorExit):
        raise
    # A panic of the compiled core is not an Exception.
    except BaseException as error:
        if debug:
            traceback.print_exc()
        return _failure(error)
    return code if isinstance(code, int) else 0


def _failure(error: BaseException) -> int:
    """Print an error that ends the command in one line, and return the exit code."""
    if isinstance(error, PixqError):
        return _fail(str(error))
    if isinstance(error, CycloptsError):
        return _fail(" ".join(str(error).split()))
    if isinstance(error, BrokenPipeError):
        # A reader such as `head` has read enough; what is still buffered is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{where}{error.strerror or error}")
    if isinstance(error, KeyboardInterrupt):
        # The message of work that can be resumed says how.
        note("; ".join(["interrupted", *map(str, error.args)]))
        return 130
    # PyTorch raises its own error when a GPU runs out of memory.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _fail("memory ran out; give smaller images, or use a machine with more memory", 70)
    return _fail(
        f"internal error: {type(error).__name__}: {one_line(error)}; this is a bug in pixq: run the command again with "
        f"{DEBUG}, and report what it prints",
        70,
    )


def _fail(message: str, code: int = 2) -> int:
    # A message is one line, even if a file name in it holds a line break.
    note(message)
    return code
