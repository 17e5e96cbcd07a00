"""A session as one HTML file that runs from the disk: no server, no request, and the answers are saved in the end."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pixq.errors import PixqError
from pixq.io.atomic import write_text
from pixq.study.design.config import Study
from pixq.study.design.study_files import OpenedStudy
from pixq.study.design.survey import default_survey
from pixq.study.session.allocation import allocate_images
from pixq.study.session.session_plan import Item, SessionPlan, parse_plan, plan_json, public_study
from pixq.study.store.keys import OFFLINE_PLATFORM, Key

__all__ = ["LARGEST", "Drawer", "Drawn", "write_offline"]

#: Bytes of a file that a browser opens well.
LARGEST = 300 << 20


@dataclass(frozen=True)
class Drawn:
    """What a file of a number shows.

    Parameters
    ----------
    number
        From 1.
    plan
        Of `pixq.study.session.session_plan.plan_json`, and `keys`: the name that the images' keys are made of.
    images
        The trials: id, and whether it is a test.
    course
        The same with keys, sizes and levels.
    seal
        64 hexadecimal digits that nobody makes without the study's key: of the file's number, the texts, the sizes and
        everything else that decides what the page asks.
    """

    number: int
    plan: dict[str, Any]
    images: tuple[tuple[str, bool], ...]
    course: SessionPlan
    seal: str


class Drawer:
    """Draws what the files of a study show: number 1, 2, 3, ...; always the same for the same study and key.

    Parameters
    ----------
    opened
        The study and its images.
    key
        The study's.
    """

    def __init__(self, opened: OpenedStudy, key: Key) -> None:
        self._opened = opened
        self._key = key
        self._answers: Counter[str] = Counter()
        self._plans: list[tuple[tuple[str, bool], ...]] = []
        self._digests: dict[str, dict[str, str]] = {}

    def draw(self, number: int) -> Drawn | None:
        """What file `number` shows; those before it count as answered. `None`, where they answer all there is."""
        study = self._opened.study
        while len(self._plans) < number:
            participant = self._key.pseudonym(OFFLINE_PLATFORM, f"file {len(self._plans) + 1}")
            planned = allocate_images(study, participant, 1, self._answers)
            if not planned:
                return None
            self._plans.append(tuple((each.source, each.test) for each in planned))
            self._answers.update(each.source for each in planned if not each.test)
        images = self._plans[number - 1]
        keys = self._key.sign("offline keys", study.title, study.version, str(number))[:32]
        training = [each.id for each in study.training]
        plan = {**plan_json(self._opened, training, [source for source, _ in images]), "keys": keys}
        course = parse_plan(plan, self._key, keys)
        sealed = {
            "number": number,
            "study": _sealed_study(study),
            "training": [{**self._sealed(each), **_training(each)} for each in course.training],
            "trials": [{**self._sealed(each), **_item(each)} for each in course.trials],
        }
        seal = self._key.sign("offline seal", json.dumps(sealed, sort_keys=True))
        return Drawn(number, plan, images, course, seal)

    def _sealed(self, item: Item) -> dict[str, Any]:
        """What an image is, to the last byte of its files."""
        if item.source not in self._digests:
            self._digests[item.source] = {
                str(level): hashlib.sha256(image.path.read_bytes()).hexdigest()
                for level, image in self._opened.sources[item.source].levels.items()
            }
        return {"source": item.source, "files": self._digests[item.source]}


def _sealed_study(study: Study) -> dict[str, Any]:
    """What a page is told of a study. Files built before a study could have its own survey have the same seal."""
    public = public_study(study)
    if study.survey == default_survey():
        del public["survey"]
    return public


def write_offline(
    opened: OpenedStudy,
    key: Key,
    path: Path,
    *,
    number: int = 1,
    language: str | None = None,
    page: Traversable | None = None,
) -> int:
    """Write a session of a study as one HTML file; gives its bytes.

    Its images are in it, and what is known of training images, which the page tells in any case. Nothing tells which
    of the others are tests, and nothing of what is known of those is in it: they are judged when the answers are
    imported.

    Parameters
    ----------
    opened
        The study and its images.
    key
        The study's.
    path
        Of the file; there must be none.
    number
        Which session: from 1. Those of the numbers before count as answered, so that files of all numbers ask about
        all sources equally often.
    language
        That the page begins in. Default: the browser's, if the study has it.
    page
        The folder of the built page; the one that comes with pixq by default.

    Raises
    ------
    PixqError
        If there is a file, the study has no such session or language, the page was not built, or the file would have
        more than `LARGEST` bytes.

    Examples
    --------
    >>> write_offline(open_study("my-study"), key, Path("study.html"))  # doctest: +SKIP
    31415926
    """
    study = opened.study
    if path.exists() or path.is_symlink():
        raise PixqError(f"{path}: exists already; choose another --out or delete it")
    if not path.parent.is_dir():
        raise PixqError(f"{path.parent}: there is no such folder; make it, or choose another --out")
    if language is not None and language not in study.languages:
        raise PixqError(f"--language {language}: the study has {', '.join(study.languages)}")
    if number < 1:
        raise PixqError(f"--number {number}: sessions are counted from 1")
    drawer = Drawer(opened, key)
    drawn = drawer.draw(number)
    if drawn is None:
        last = next(before for before in range(number - 1, -1, -1) if before == 0 or drawer.draw(before))
        raise PixqError(f"--number {number}: the files 1 to {last} answer all that is wanted; raise quota.answers")
    expected = sum(-(-image.bytes // 3) * 4 for *_, image in _images(opened, drawn))
    if expected > LARGEST:
        raise PixqError(
            f"{path}: would have {expected / 1e6:.0f} MB, and a browser opens {LARGEST / 1e6:.0f} MB at most; lower "
            "quota.images, or give fewer levels or smaller files"
        )
    scratch = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        write_text(scratch, path, _document(opened, drawn, language, page or files("pixq.study") / "page"))
        return path.stat().st_size
    except OSError as error:
        raise PixqError(f"{error.filename or path}: {error.strerror or error}; nothing was written") from None
    finally:
        scratch.unlink(missing_ok=True)


def _item(item: Item) -> dict[str, Any]:
    return {"key": item.key, "width": item.width, "height": item.height, "levels": list(item.levels)}


def _training(item: Item) -> dict[str, Any]:
    """With its truth: feedback tells it."""
    if item.truth is None:
        raise ValueError(f"{item.source} is no training image")
    known = item.truth
    return {**_item(item), "pjnd_range": list(known.pjnd_range), "points": [list(each) for each in known.points_yx]}


def _images(opened: OpenedStudy, drawn: Drawn) -> Iterator[tuple[str, Any]]:
    """Every image of the file, with what the page calls it."""
    for item in (*drawn.course.training, *drawn.course.trials):
        for level, image in opened.sources[item.source].levels.items():
            yield f"{item.key}.{level}", image


def _document(opened: OpenedStudy, drawn: Drawn, language: str | None, page: Traversable) -> Iterator[str]:
    study = opened.study
    try:
        text, style, script, icon = (
            (page / name).read_text("utf-8") for name in ("index.html", "page.css", "offline.js", "icon.svg")
        )
    except FileNotFoundError:
        raise PixqError("the study's page was not built; run `make`") from None
    # What would end the element, or hide its end, must not be in it; esbuild writes it otherwise in any text.
    if "</style" in style.lower() or "</script" in script.lower() or "<!--" in script:
        raise PixqError("the study's page can't be put into one file; build it again: run `make`")
    picture = base64.b64encode(icon.encode()).decode()
    # The bundle's page, with what it loads put into it.
    for old, new in (
        ('<html lang="en">', f'<html lang="{html.escape(language or study.default_language)}">'),
        ('<meta charset="utf-8">', f'<meta charset="utf-8">\n{_policy(style, script)}'),
        ("<title>Study</title>", f"<title>{html.escape(study.title)}</title>"),
        ('href="/page/icon.svg"', f'href="data:image/svg+xml;base64,{picture}"'),
        ('<link rel="stylesheet" href="/page/page.css">', f"<style>{style}</style>"),
        ('<script type="module" src="/page/page.js"></script>\n', ""),
    ):
        if text.count(old) != 1:
            raise PixqError("the study's page is another version's; build it again: run `make`")
        text = text.replace(old, new)
    before, end, after = text.partition("</body>")
    yield before
    file = {
        "seal": drawn.seal,
        "number": drawn.number,
        "language": language,
        "study": public_study(study),
        "training": [_training(each) for each in drawn.course.training],
        "trials": [_item(each) for each in drawn.course.trials],
    }
    # A text of the study that holds a tag stays a text.
    told = json.dumps(file).replace("<", r"\u003c")
    yield f'<script type="application/json" id="pixq-study-file">{told}</script>\n'
    for name, image in _images(opened, drawn):
        encoded = base64.b64encode(image.path.read_bytes()).decode()
        yield f'<script type="text/plain" id="{name}" data-media="{image.media}">{encoded}</script>\n'
    yield f"<script>{script}</script>\n{end}{after}"


def _policy(style: str, script: str) -> str:
    """What the file may do: run this one script, show what is in it, and ask nobody for anything."""

    def own(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; script-src {own(script)}; style-src {own(style)}; img-src blob: data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    return f'<meta http-equiv="content-security-policy" content="{policy}">'
