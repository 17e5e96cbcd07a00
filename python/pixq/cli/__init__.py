"""The command line. One file a verb; each parses and calls one library function.

Data goes to stdout, progress and messages to stderr. A mistake of the user's is one line and exit code 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from pixq import __version__
from pixq.errors import PixqError

__all__ = ["app", "main"]

app = App(
    name="pixq",
    help="Would a person notice this local change in an image?",
    version=__version__,
    help_format="plaintext",
    result_action="return_value",
)
# Named, not imported: `pixq --help` must not pay for what it does not run.
app.command("pixq.cli.datasets:datasets", name="datasets")
app.command("pixq.cli.inspect:inspect", name="inspect")
app.command("pixq.cli.build_patches:build_patches", name="build-patches")
app.command("pixq.cli.verify:verify", name="verify")
app.command("pixq.cli.show:show", name="show")
app.command("pixq.cli.export:export", name="export")
app.command("pixq.cli.demo:demo", name="demo")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `pixq` with `arguments` (`sys.argv[1:]` by default) and give its exit code.

    0: done. 1: done, but some input was skipped. 2: a mistake that its user can mend. 130: interrupted.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(tokens, exit_on_error=False, print_error=False)
    except PixqError as error:
        return _fail(str(error))
    except CycloptsError as error:
        return _fail(" ".join(str(error).split()))
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        print("pixq: interrupted", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    print(f"pixq: {message}", file=sys.stderr)
    return 2
