"""Write a session as one HTML file that runs from the disk: without a server, and with its answers saved at the end."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pixq import ranges
from pixq.errors import PixqError
from pixq.io.atomic import explain_os_errors, save_text
from pixq.study.design.config import Study
from pixq.study.design.study_files import OpenedStudy, StudyImage
from pixq.study.design.survey import default_survey
from pixq.study.session.allocation import allocate_images
from pixq.study.session.session_plan import Item, SessionPlan, parse_plan, plan_json, public_study
from pixq.study.store.keys import OFFLINE_PLATFORM, Key

__all__ = ["LARGEST", "OfflineSession", "OfflineSessions", "write_offline"]

#: The largest file that browsers open well, in bytes.
LARGEST = 300 << 20


@dataclass(frozen=True)
class OfflineSession:
    """What one file shows.

    Parameters
    ----------
    number
        The file's number, from 1.
    plan_json
        The plan as it is stored: `pixq.study.session.session_plan.plan_json`, and `keys`, the name from which the
        images' keys are made.
    images
        The trials: id, and whether it is a test image.
    plan
        The plan, with keys, sizes and levels of its images.
    seal
        64 hexadecimal digits that nobody can make without the study's key. They depend on the file's number, the
        texts, the sizes, the images and everything else that decides what the page asks.
    """

    number: int
    plan_json: dict[str, Any]
    images: tuple[tuple[str, bool], ...]
    plan: SessionPlan
    seal: str


class OfflineSessions:
    """The sessions of a study's files, by their number; always the same for the same study and key.

    Parameters
    ----------
    opened
        The study and its images.
    key
        The study's key.
    """

    def __init__(self, opened: OpenedStudy, key: Key) -> None:
        self._opened = opened
        self._key = key
        self._answers: Counter[str] = Counter()
        self._images: list[tuple[tuple[str, bool], ...]] = []
        self._digests: dict[str, dict[str, str]] = {}

    def get(self, number: int) -> OfflineSession | None:
        """Give the session of file `number`, with those before it counted as answered; `None` if none is needed."""
        study = self._opened.study
        while len(self._images) < number:
            participant = self._key.pseudonym(OFFLINE_PLATFORM, f"file {len(self._images) + 1}")
            allocated = allocate_images(study, participant, 1, self._answers)
            if not allocated:
                return None
            self._images.append(tuple((image.source, image.test) for image in allocated))
            self._answers.update(image.source for image in allocated if not image.test)
        images = self._images[number - 1]
        keys = self._key.sign("offline keys", study.title, study.version, str(number))[:32]
        training = [image.id for image in study.training]
        stored = {**plan_json(self._opened, training, [source for source, _ in images]), "keys": keys}
        plan = parse_plan(stored, self._key, keys)
        sealed = {
            "number": number,
            "study": _sealed_study(study),
            "training": [{**self._sealed_files(item), **_training_json(item)} for item in plan.training],
            "trials": [{**self._sealed_files(item), **_item_json(item)} for item in plan.trials],
        }
        seal = self._key.sign("offline seal", json.dumps(sealed, sort_keys=True))
        return OfflineSession(number, stored, images, plan, seal)

    def _sealed_files(self, item: Item) -> dict[str, Any]:
        """What an image is, to the last byte of its files."""
        if item.source not in self._digests:
            self._digests[item.source] = {
                str(level): hashlib.sha256(image.path.read_bytes()).hexdigest()
                for level, image in self._opened.sources[item.source].levels.items()
            }
        return {"source": item.source, "files": self._digests[item.source]}


def _sealed_study(study: Study) -> dict[str, Any]:
    """What a page knows about a study, without a default survey: the seals of files built before it stay valid."""
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
    """Write a session of a study as one HTML file, and return its size in bytes.

    The file holds the images and the ground truth of training images, which the page shows anyway. It does not tell
    which of the other images are tests, and has no ground truth of those: they are judged when the answers are
    imported.

    Parameters
    ----------
    opened
        The study and its images.
    key
        The study's key.
    path
        The file, which must not exist yet.
    number
        The number of the session, from 1. Sessions with lower numbers count as answered, so that the files of all
        numbers ask about all sources equally often.
    language
        The language that the page begins in. Default: the browser's language, if the study has it.
    page
        The folder of the built page. Default: the one that comes with pixq.

    Raises
    ------
    PixqError
        If the file exists, the study has no such session or language, the page was not built, or the file would be
        larger than `LARGEST`.

    Examples
    --------
    >>> write_offline(open_study("my-study"), key, Path("study.html"))  # doctest: +SKIP
    31415926
    """
    study = opened.study
    if path.exists() or path.is_symlink():
        raise PixqError(f"{path}: exists already; choose another --out, or delete it")
    if not path.parent.is_dir():
        raise PixqError(f"{path.parent}: there is no such folder; make it, or choose another --out")
    if language is not None and language not in study.languages:
        raise PixqError(f"--language {language}: the study has {', '.join(study.languages)}")
    ranges.COUNT.check(number, "--number")
    sessions = OfflineSessions(opened, key)
    session = sessions.get(number)
    if session is None:
        last = next(before for before in range(number - 1, -1, -1) if before == 0 or sessions.get(before))
        raise PixqError(f"--number {number}: the files 1 to {last} answer all that is wanted; raise quota.answers")
    expected = sum(-(-image.bytes // 3) * 4 for *_, image in _images(opened, session))
    if expected > LARGEST:
        raise PixqError(
            f"{path}: would have {expected / 1e6:.0f} MB, and browsers open at most {LARGEST / 1e6:.0f} MB; lower "
            "quota.images, or use fewer levels or smaller files"
        )
    save_text(path, _document(opened, session, language, page or files("pixq.study") / "page"))
    return path.stat().st_size


def _item_json(item: Item) -> dict[str, Any]:
    return {"key": item.key, "width": item.width, "height": item.height, "levels": list(item.levels)}


def _training_json(item: Item) -> dict[str, Any]:
    """A training image with its ground truth, which the page's feedback shows."""
    if item.truth is None:
        raise ValueError(f"{item.source} is not a training image")
    points = [list(point) for point in item.truth.points_yx]
    return {**_item_json(item), "pjnd_range": list(item.truth.pjnd_range), "points": points}


def _images(opened: OpenedStudy, session: OfflineSession) -> Iterator[tuple[str, StudyImage]]:
    """Every image of the file, by its name in the page."""
    for item in (*session.plan.training, *session.plan.trials):
        for level, image in opened.sources[item.source].levels.items():
            yield f"{item.key}.{level}", image


def _document(opened: OpenedStudy, session: OfflineSession, language: str | None, page: Traversable) -> Iterator[str]:
    study = opened.study
    try:
        text, style, script, icon = (
            (page / name).read_text("utf-8") for name in ("index.html", "page.css", "offline.js", "icon.svg")
        )
    except FileNotFoundError:
        raise PixqError("the study's page was not built; run `make`") from None
    notices = page / "licenses.txt"
    licenses = json.dumps(notices.read_text("utf-8") if notices.is_file() else "").replace("<", r"\u003c")
    # Nothing in a style or script may end its element, or hide the end; esbuild escapes this in texts.
    if "</style" in style.lower() or "</script" in script.lower() or "<!--" in script:
        raise PixqError("the study's page can't be put into one file; build it again: run `make`")
    picture = base64.b64encode(icon.encode()).decode()
    # The page, with the files that it would load put into it.
    for old, new in (
        ('<html lang="en">', f'<html lang="{html.escape(language or study.default_language)}">'),
        ('<meta charset="utf-8">', f'<meta charset="utf-8">\n{_policy(style, script)}'),
        ("<title>Study</title>", f"<title>{html.escape(study.title)}</title>"),
        ('href="/page/icon.svg"', f'href="data:image/svg+xml;base64,{picture}"'),
        ('<link rel="stylesheet" href="/page/page.css">', f"<style>{style}</style>"),
        ('<script type="module" src="/page/page.js"></script>\n', ""),
    ):
        if text.count(old) != 1:
            raise PixqError("the study's page is of another version; build it again: run `make`")
        text = text.replace(old, new)
    before, end, after = text.partition("</body>")
    yield before
    file = {
        "seal": session.seal,
        "number": session.number,
        "language": language,
        "study": public_study(study),
        "training": [_training_json(item) for item in session.plan.training],
        "trials": [_item_json(item) for item in session.plan.trials],
    }
    # A text of the study that looks like a tag stays a text.
    data = json.dumps(file).replace("<", r"\u003c")
    yield f'<script type="application/json" id="pixq-study-file">{data}</script>\n'
    yield f'<script type="application/json" id="pixq-licenses">{licenses}</script>\n'
    for name, image in _images(opened, session):
        with explain_os_errors(image.path, "put the image back"):
            encoded = base64.b64encode(image.path.read_bytes()).decode()
        yield f'<script type="text/plain" id="{name}" data-media="{image.media}">{encoded}</script>\n'
    yield f"<script>{script}</script>\n{end}{after}"


def _policy(style: str, script: str) -> str:
    """Lets the file run its one script and show its own images, and load nothing."""

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; script-src {hashed(script)}; style-src {hashed(style)}; img-src blob: data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    return f'<meta http-equiv="content-security-policy" content="{policy}">'
