"""`pixq study build`, `import` and `demo`: studies without a server, or with one that starts by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.messages import note, print_lines
from pixq.cli.number_options import number_in
from pixq.cli.progress import progress_bar
from pixq.errors import PixqError
from pixq.io.optional import require
from pixq.study.design.demo import write_demo
from pixq.study.design.study_files import open_study
from pixq.study.offline.build_page import write_offline
from pixq.study.store.keys import KEY_FILE, open_key

__all__ = ["build", "demo", "import_"]


def build(
    study: Path = Path(),
    /,
    *,
    offline: Annotated[bool, Parameter(negative="")] = False,
    out: Path = Path("study.html"),
    number: Annotated[int, number_in(ranges.COUNT)] = 1,
    language: str | None = None,
) -> int:
    """Write one HTML file that runs from disk in Chrome, Edge or Firefox, without a server or any request.

    It holds one session and ends with a download of the answers, which `pixq study import` reads. It does not contain
    the truth about hidden test images: they are judged during the import.

    Parameters
    ----------
    study
        Folder of the study, or its study.toml. Default: this folder.
    offline
        Required: build the page that runs from disk. A study with a server needs no building.
    out
        The HTML file.
    number
        Number of the session: together, files with the numbers 1, 2, 3, ... ask about all sources equally often.
    language
        Language that the page begins in. Default: the browser's, if the study has it.
    """
    if not offline:
        raise PixqError(
            "give --offline to write one HTML file that runs from disk; to run the study on a server, use pixq study "
            "serve, which needs no building"
        )
    require("sqlalchemy")

    opened = open_study(study)
    key = open_key(opened.study.folder / KEY_FILE)
    size = write_offline(opened, key, out, number=number, language=language)
    print_lines(out)
    note(
        f"session {number}, {size / 1e6:.1f} MB; keep the study as it is until the answers are imported: "
        "pixq study import FILE..."
    )
    return 0


def import_(
    *answers: Annotated[Path, Parameter(name="answers", negative="")],
    study: Path = Path(),
    database: str | None = None,
) -> int:
    """Import the answers from files of `pixq study build --offline` into the study's database.

    Answers that are stored already are skipped. Files that can't be imported are listed on stderr, and the exit code is
    then 2; the others are stored.

    Parameters
    ----------
    answers
        JSON or CSV files as the page saved them; either is enough for a session.
    study
        Folder of the study, or its study.toml, as it was when the file was built. Default: this folder.
    database
        Database of the answers: a file, or postgresql://user@host/name with its password in PGPASSWORD or in the file
        that PGPASSFILE names. Default: answers.db beside study.toml.
    """
    if not answers:
        raise PixqError("give the files that participants sent: pixq study import pixq-answers-1-*.json")
    require("sqlalchemy")
    from pixq.study.offline.import_files import Importer, read_answer_file
    from pixq.study.server.open_study import open_study_store
    from pixq.study.session.service import SessionService

    opened = open_study(study)
    folder = opened.study.folder
    if not (folder / KEY_FILE).is_file():
        raise PixqError(f"{folder / KEY_FILE}: is not there; put back the one that the file was built with")
    wrong: list[str] = []
    stored = 0
    with open_study_store(opened.study, database, make=True) as (store, key):
        importer = Importer(SessionService(opened, store, key), key)
        with progress_bar() as on_progress:
            for count, path in enumerate(answers, start=1):
                try:
                    found = importer.add(read_answer_file(path))
                except PixqError as error:
                    wrong.append(str(error))
                    continue
                finally:
                    on_progress("importing", count, len(answers))
                stored += found.new > 0
                what = f"{found.answers} answers" if found.new else "is stored already"
                print_lines(f"{path}: {found.session}: {what}")
    for line in wrong:
        note(line)
    note(f"{stored} sessions stored, {len(answers) - stored - len(wrong)} files there already")
    return 2 if wrong else 0


def demo(
    *,
    out: Path = Path("pixq-study-demo"),
    port: Annotated[int, number_in(ranges.PORT)] = 8009,
    no_open: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Take part in a small study on this machine, from consent to completion. Ctrl-C ends it.

    Its photographs come with scikit-image; without it, synthetic pictures are used.

    Parameters
    ----------
    out
        Folder of the study, its images and the answers. Run the command again to continue with it.
    port
        Port of the page; 0: any free port.
    no_open
        Do not open the page in your browser; its address is printed.
    """
    for package in ("sqlalchemy", "starlette", "uvicorn"):
        require(package)
    from pixq.study.server.run import serve

    written = write_demo(out)
    note(f"{out}: a study {'was written' if written else 'is there already'}")
    note(f"pixq study export {out} gives the answers")
    serve(out, port=port, open_page=not no_open)
    return 0
