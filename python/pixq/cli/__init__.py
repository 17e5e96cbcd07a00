"""The command line. One file a verb; each parses and calls one library function.

Data goes to stdout, progress and messages to stderr. A mistake of the user's is one line and exit code 2.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from cyclopts import App, CycloptsError

from pixq._version import __version__
from pixq.errors import PixqError, printable

__all__ = ["app", "main"]

app = App(
    name="pixq",
    help="Would a person notice this local change in an image?",
    version=__version__,
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
# Named, not imported: `pixq --help` must not pay for what it does not run.
VERBS = {
    "datasets": "List the datasets pixq reads, and what each needs on disk.",
    "inspect": "Count and draw what a dataset holds; name what is missing, duplicated or extra.",
    "build-patches": "Cut a dataset of human scores into a patch set.",
    "verify": "Check a patch set's files and splits.",
    "show": "Draw a contact sheet of a patch set.",
    "train": "Train a patch-quality model on a patch set.",
    "adapt": "Adapt a trained model to patches that nobody has labelled.",
    "calibrate": "Choose where scores become Red, Orange and Green, for a target domain.",
    "evaluate": "Measure a run's decisions, beside those of simpler methods.",
    "predict": "Say where, and how visibly, images differ from their references: scores and quality maps.",
    "pjnd": "Predict the level of a ladder at which a person begins to notice.",
    "critical": "Say where in an image a person would see a ladder's distortion first.",
    "serve": "Serve a page that shows where two images differ visibly.",
    "study": "Ask people in their browsers at which level they notice a change, and where.",
    "report": "Write the report of a run: one HTML file that opens offline.",
    "compare": "Put runs side by side.",
    "export": "Write a patch set as PNG folders, Parquet or NumPy arrays, or a trained model as ONNX.",
    "distort": "Make a dataset with synthetic scores from references of your own.",
    "demo": "Try all of it on photographs that come along.",
}
for name, what in VERBS.items():
    module = name.replace("-", "_")
    app.command(f"pixq.cli.{module}:{module}", name=name, help=what)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `pixq` with `arguments` (`sys.argv[1:]` by default) and give its exit code.

    0: done. 1: done, but some input was skipped. 2: a mistake that its user can mend. 130: interrupted. 141: whoever
    read stdout closed it.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        # A file name need not be text; it is shown as near to it as can be.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(tokens, exit_on_error=False, print_error=False)
    except PixqError as error:
        return _fail(str(error))
    except CycloptsError as error:
        return _fail(" ".join(str(error).split()))
    except BrokenPipeError:
        # Whoever read has read enough, as `head` does; what is still to be flushed goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{where}{error.strerror or error}")
    except KeyboardInterrupt as stopped:
        # Work that can go on says how.
        print("; ".join(["pixq: interrupted", *map(str, stopped.args)]), file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    # A name may hold a line break; a message is one line.
    print(f"pixq: {printable(message)}", file=sys.stderr)
    return 2
