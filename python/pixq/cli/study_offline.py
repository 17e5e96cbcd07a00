"""`pixq study build`, `import` and `demo`: studies without a server, or with one of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq.errors import PixqError
from pixq.io.optional import require

__all__ = ["build", "demo", "import_"]


def build(
    study: Path = Path(),
    /,
    *,
    offline: Annotated[bool, Parameter(negative="")] = False,
    out: Path = Path("study.html"),
    number: int = 1,
    language: str | None = None,
) -> int:
    """Write one HTML file that runs from the disk in Chrome, Edge or Firefox, with no server and no request.

    It is for one session, and ends with a download of the answers, which `pixq study import` reads. What is known of
    hidden test images is not in it: they are judged at the import.

    Parameters
    ----------
    study
        Its folder, or study.toml. Default: this folder.
    offline
        The one thing that is built; a study that is served needs no building.
    out
        The file.
    number
        Which session: files of the numbers 1, 2, 3, ... ask about all sources equally often.
    language
        That the page begins in. Default: the browser's, if the study has it.
    """
    if not offline:
        raise PixqError(
            "pixq study build --offline writes one HTML file that runs from the disk; without --offline there is "
            "nothing to build: pixq study serve serves the study as it is"
        )
    require("sqlalchemy")
    from pixq.study.design.study_files import open_study
    from pixq.study.offline.build_page import write_offline
    from pixq.study.store.keys import KEY_FILE, open_key

    opened = open_study(study)
    key = open_key(opened.study.folder / KEY_FILE)
    size = write_offline(opened, key, out, number=number, language=language)
    print(out)
    print(
        f"pixq: session {number}, {size / 1e6:.1f} MB; what comes back is imported with the study as it is now: "
        "pixq study import FILE...",
        file=sys.stderr,
    )
    return 0


def import_(
    *answers: Annotated[Path, Parameter(name="answers", negative="")],
    study: Path = Path(),
    database: str | None = None,
) -> int:
    """Read the answers that files of `pixq study build --offline` gave into the study's database.

    Files that are there already are not stored again. Files that can't be taken are said on stderr, with code 2; the
    others are stored.

    Parameters
    ----------
    answers
        JSON or CSV, as the page saved it; of one session either will do.
    study
        Its folder, or study.toml, as it was when the file was built. Default: this folder.
    database
        Of the answers: a file, or postgresql://user:password@host/name. Default: answers.db beside study.toml.
    """
    if not answers:
        raise PixqError("give the files that participants sent: pixq study import pixq-answers-1-*.json")
    require("sqlalchemy")
    from pixq.cli.progress import counted
    from pixq.study.design.study_files import open_study
    from pixq.study.offline.import_files import Importer, read_answer_file
    from pixq.study.server.open_study import open_study_store
    from pixq.study.session.service import SessionService
    from pixq.study.store.keys import KEY_FILE

    opened = open_study(study)
    folder = opened.study.folder
    if not (folder / KEY_FILE).is_file():
        raise PixqError(f"{folder / KEY_FILE}: is not there; put back the one that the file was built with")
    wrong: list[str] = []
    stored = 0
    with open_study_store(opened.study, database, make=True) as (store, key):
        importer = Importer(SessionService(opened, store, key), key)
        with counted("importing", len(answers)) as done:
            for count, path in enumerate(answers, start=1):
                try:
                    found = importer.add(read_answer_file(path))
                except PixqError as error:
                    wrong.append(str(error))
                    continue
                finally:
                    done(count)
                stored += found.new > 0
                what = f"{found.answers} answers" if found.new else "is stored already"
                print(f"{path}: {found.session}: {what}")
    for line in wrong:
        print(f"pixq: {line}", file=sys.stderr)
    print(f"pixq: {stored} sessions stored, {len(answers) - stored - len(wrong)} files there already", file=sys.stderr)
    return 2 if wrong else 0


def demo(
    *,
    out: Path = Path("pixq-study-demo"),
    port: int = 8009,
    no_open: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Take part in a small study on this machine, at once: consent to completion. Ctrl-C ends it.

    Its photographs come with scikit-image; where that is not installed, its pictures are made up.

    Parameters
    ----------
    out
        Folder of the study, its images and the answers. Run again, it goes on with it.
    port
        Of the page; 0: any that is free.
    no_open
        Don't open the page in your browser; its address is printed.
    """
    for package in ("sqlalchemy", "starlette", "uvicorn"):
        require(package)
    from pixq.study.design.demo import write_demo
    from pixq.study.server.run import serve

    written = write_demo(out)
    print(f"pixq: {out}: a study {'was written' if written else 'is there already'}", file=sys.stderr)
    print(f"pixq: pixq study export {out} gives the answers", file=sys.stderr)
    serve(out, port=port, open_page=not no_open)
    return 0
