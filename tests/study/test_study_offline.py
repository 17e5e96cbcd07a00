"""A study in one file, opened from the disk in a real browser: consent to the download, and its import."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("starlette", reason="Starlette is not installed")

from pixq import study
from pixq.errors import PixqError
from pixq.study.design.study_files import OpenedStudy, open_study
from pixq.study.offline import build_page as build_page_module
from pixq.study.offline.build_page import OfflineSessions, write_offline
from pixq.study.offline.import_files import Importer, read_answer_file
from pixq.study.results.answers import answers_of
from pixq.study.results.load import load_results
from pixq.study.session.service import SessionService
from pixq.study.store.keys import withdraw
from pixq.study.store.store import open_store
from support import browser
from support.studying import HEIGHT, KEY, LEVELS, SOURCES, TRUTH, WIDTH, make_study

PAGE = Path(study.__file__).parent / "page"
SLIDER = ".fj-phase:not([hidden]) .fj-slider"
MAIN = ".fj-phase:not([hidden]) .fj-main:enabled"
#: Shares of the picture, down and across; those of training are its truth, and one more.
PLACES = ((0.25, 0.2), (0.75, 0.8), (0.5, 0.35))
TRAINED = tuple((y / HEIGHT, x / WIDTH) for y, x in (*TRUTH["TRAIN_1"][1], (2.0, 60.0)))
HOSTILE = "</script><script>document.title='taken'</script><!--<b>=1+1&amp;"


class Parts(HTMLParser):
    """The elements of a file, with what is in its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", {}, ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attributes, before = self.found[-1]
            self.found[-1] = (tag, attributes, before + data)


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if not (PAGE / "offline.js").is_file():
        pytest.skip("the study's page is not bundled; `make build` does it")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> OpenedStudy:
    return open_study(make_study(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.opened() as found:
        yield found


@dataclass
class Person:
    """Somebody with a file, and all that the page complained of and asked for."""

    page: Any
    file: Path
    noise: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def arrive(self) -> None:
        self.page.goto(self.file.as_uri())

    def prepare(self) -> None:
        """From consent to the first practice picture, by mouse."""
        page = self.page
        page.check("#agree")
        page.click(".main:enabled")
        page.click(".checks ~ .actions .main:enabled")
        page.wait_for_selector("#card")
        page.click(".sheet .main")
        page.locator("#example-slider").fill("50")
        page.click(".sheet .main:enabled")

    def answer(self, level: int, places: Any = PLACES) -> None:
        page = self.page
        page.wait_for_selector(SLIDER)
        page.locator(SLIDER).fill(str(LEVELS.index(level) + 1))
        page.click(MAIN)
        box = page.locator(".fj-picture").bounding_box()
        for y, x in places:
            page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.click(MAIN)

    def at(self, words: str) -> None:
        self.page.wait_for_selector(f"#progress >> text={words}")

    def finish(self) -> Any:
        """Through the survey; gives the download that the last page offers by itself."""
        self.page.fill("#survey-remarks", "=1+1; \"ä\", 'ß'\n</script>")
        with self.page.expect_download() as found:
            self.page.click(".main")
        return found.value

    def saved(self, name: str, folder: Path) -> Path:
        with self.page.expect_download() as found:
            self.page.click(f"text=({name})")
        path = folder / str(found.value.suggested_filename)
        found.value.save_as(path)
        return path

    def quiet(self) -> None:
        assert self.noise == []
        assert [url for url in self.asked if url != self.file.as_uri() and not url.startswith(("blob:", "data:"))] == []


@pytest.fixture
def sit(chromium: Any) -> Iterator[Any]:
    contexts = []

    def seat(file: Path, **options: Any) -> Person:
        size = {"width": 1440, "height": 860}
        context = chromium.new_context(**{"viewport": size, "screen": size, "locale": "en-GB", **options})
        context.set_default_timeout(20_000)
        contexts.append(context)
        person = Person(context.new_page(), file)
        person.page.on("console", lambda message: person.noise.append(message.text))
        person.page.on("pageerror", lambda error: person.noise.append(str(error)))
        person.page.on("request", lambda request: person.asked.append(request.url))
        return person

    yield seat
    for context in contexts:
        context.close()


def write(opened: OpenedStudy, folder: Path, **options: Any) -> Path:
    path = folder / "study.html"
    write_offline(opened, KEY, path, **options)
    return path


@pytest.mark.slow
def test_from_consent_to_the_import(sit: Any, opened: OpenedStudy, tmp_path: Path) -> None:
    person = sit(write(opened, tmp_path))
    page = person.page
    person.arrive()
    person.prepare()
    person.answer(40, TRAINED)
    page.wait_for_selector("text=between 20 and 21")
    page.click("text=Try this picture again")
    person.answer(20, TRAINED)
    page.wait_for_selector("text=Well done")
    page.click(".fj-controls .main")
    person.at("Picture 1 of 3")
    person.answer(10)
    person.at("Picture 2 of 3")
    # In the middle of an answer.
    page.locator(SLIDER).fill("3")
    page.reload()
    person.at("Picture 2 of 3")
    person.answer(30)
    person.at("Picture 3 of 3")
    person.answer(40)
    page.wait_for_selector("#survey-remarks")
    first = person.finish()
    session = page.inner_text("#session")
    assert first.suggested_filename == f"pixq-answers-1-{session}.json"
    assert "us@example.org" in page.inner_text(".end")
    json_file, csv_file = person.saved("JSON", tmp_path), person.saved("CSV", tmp_path)
    assert json_file.read_bytes() == Path(first.path()).read_bytes()
    downloads: list[Any] = []
    page.on("download", lambda download: downloads.append(download))
    page.reload()
    page.wait_for_selector("#session")
    assert page.inner_text("#session") == session
    (tmp_path / "again").mkdir()
    assert person.saved("CSV", tmp_path / "again").suffix == ".csv"
    assert len(downloads) == 1, "none is offered by itself a second time"
    person.quiet()

    # Everything as JSON and as CSV, in the order it happened.
    one, other = read_answer_file(json_file), read_answer_file(csv_file)
    assert one.events == other.events
    assert (one.seal, one.number, one.session) == (other.seal, other.number, other.session)
    kinds = [each.kind for each in one.events if each.kind not in ("frames", "opened")]
    assert kinds == [
        "consent",
        "check",
        "calibration",
        "instructions",
        *["training"] * 2,
        *["trial"] * 3,
        "survey",
        "done",
    ]
    store = open_store(str(tmp_path / "answers.db"))
    try:
        service = SessionService(opened, store, KEY)
        importer = Importer(service, KEY)
        # The page says that it is done, which is not stored.
        assert importer.add(one).new == len(one.events) - 1
        assert importer.add(other).new == importer.add(one).new == 0
        rows, events, _ = load_results(service)
        answers = answers_of(opened.study, rows, events)
        drawn = OfflineSessions(opened, KEY).get(1)
        assert drawn is not None
        assert [(each.source, each.kind == "test") for each in answers] == list(drawn.images)
        assert [each.level for each in answers] == [10, 30, 40]
        for each in answers:
            # The mouse is on whole CSS pixels, at worst.
            allowed = WIDTH / (each.width_css or 1) * 1.01
            for (y, x), (down, across) in zip(each.points, PLACES, strict=True):
                assert (y, x) == (pytest.approx(down * HEIGHT, abs=allowed), pytest.approx(across * WIDTH, abs=allowed))
            assert each.step == "completed"
            assert each.consent
        [test] = [each for each in answers if each.kind == "test"]
        (low, high), _ = TRUTH[test.source]
        assert test.in_range == (low <= test.level <= high)
        assert test.passed is not None
        assert len(store.sessions()) == 1
        assert withdraw(store, KEY, "local", session) == len(one.events) - 1
        assert store.sessions() == []
    finally:
        store.close()


@pytest.mark.slow
def test_by_keyboard_the_answers_can_be_saved(sit: Any, opened: OpenedStudy, tmp_path: Path) -> None:
    person = sit(write(opened, tmp_path, language="de"), locale="en-GB")
    page = person.page
    person.arrive()
    page.wait_for_selector("text=Bevor Sie beginnen")
    person.prepare()
    person.answer(20, TRAINED)
    page.click(".fj-controls .main")
    for picture in (1, 2, 3):
        person.at(f"Bild {picture} von 3")
        person.answer(10)
    page.wait_for_selector("#survey-remarks")
    person.finish()
    page.wait_for_selector("#session")
    for name in ("JSON", "CSV"):
        for _ in range(10):
            page.keyboard.press("Tab")
            if name in page.evaluate("document.activeElement.textContent"):
                break
        with page.expect_download() as found:
            page.keyboard.press("Enter")
        assert found.value.suggested_filename.endswith(f".{name.lower()}")
    # The next person at this computer is somebody else.
    session = page.inner_text("#session")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("text=Neu beginnen")
    page.wait_for_selector("#agree")
    kept = """() => new Promise(done => { const request = indexedDB.open("pixq-study-offline");
      request.onsuccess = () => { const store = request.result.transaction("sessions").objectStore("sessions").getAll();
        store.onsuccess = () => done(store.result); } })"""
    assert session not in page.evaluate(kept)
    person.quiet()


def test_whoever_declines_leaves_nothing(sit: Any, opened: OpenedStudy, tmp_path: Path) -> None:
    person = sit(write(opened, tmp_path))
    person.arrive()
    person.page.click("text=Open-source licenses")
    assert "Joshua R. de Leeuw" in person.page.inner_text("details pre")
    person.page.click("text=I don't want to take part")
    person.page.wait_for_selector("text=Thank you for coming")
    assert not person.page.is_visible("text=Download")
    person.page.reload()
    person.page.wait_for_selector("#agree")
    person.quiet()


REFUSE = """
  const refuse = () => { throw new DOMException("no", "SecurityError"); };
  Object.defineProperty(window, "indexedDB", { get: refuse });
  Object.defineProperty(navigator, "locks", { value: { request: async () => refuse() } });
"""


def test_a_browser_that_keeps_nothing_goes_through_and_says_so(sit: Any, opened: OpenedStudy, tmp_path: Path) -> None:
    person = sit(write(opened, tmp_path))
    page = person.page
    page.add_init_script(REFUSE)
    person.arrive()
    page.wait_for_selector("text=This browser stores nothing for a page")
    person.prepare()
    person.answer(20, TRAINED)
    page.click(".fj-controls .main")
    for picture in (1, 2, 3):
        person.at(f"Picture {picture} of 3")
        person.answer(10)
    page.wait_for_selector("#survey-remarks")
    path = tmp_path / "answers.json"
    person.finish().save_as(path)
    assert [each.kind for each in read_answer_file(path).events].count("trial") == 3
    assert page.locator(".not-stored").count() == 1


def test_a_second_tab_waits(sit: Any, opened: OpenedStudy, tmp_path: Path) -> None:
    person = sit(write(opened, tmp_path))
    person.arrive()
    person.page.wait_for_selector("#agree")
    other = person.page.context.new_page()
    other.goto(person.file.as_uri())
    other.wait_for_selector("text=open in another tab")
    person.page.close()
    other.wait_for_selector("#agree")


def test_two_tabs_that_know_nothing_of_one_another_spoil_nothing(sit: Any, opened: OpenedStudy, tmp_path: Path) -> None:
    person = sit(write(opened, tmp_path))
    person.page.context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined });")
    person.arrive()
    person.page.wait_for_selector("#agree")
    other = person.page.context.new_page()
    other.goto(person.file.as_uri())
    other.check("#agree")
    other.click(".main:enabled")
    other.wait_for_selector(".checks")
    person.page.check("#agree")
    person.page.click(".main:enabled")
    person.page.wait_for_selector("text=another tab of this file has gone on")
    # The browser asks, since what was not taken would be lost.
    person.page.on("dialog", lambda dialog: dialog.accept())
    person.page.click("button >> text=Reload the page")
    person.page.wait_for_selector(".checks")
    person.quiet()


def test_a_hostile_title_is_a_text(sit: Any, tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    text = (folder / "study.toml").read_text("utf-8")
    title = json.dumps(HOSTILE)
    (folder / "study.toml").write_text(text.replace('"Where is it?"', title).replace('"I agree."', title), "utf-8")
    person = sit(write(open_study(folder), tmp_path))
    page = person.page
    person.arrive()
    page.wait_for_selector("#agree")
    assert page.title() == page.inner_text("#title") == HOSTILE
    assert HOSTILE in page.inner_text(".plain")
    person.quiet()


def test_nothing_else_runs_in_the_file(sit: Any, opened: OpenedStudy, tmp_path: Path) -> None:
    path = write(opened, tmp_path)
    text = path.read_text("utf-8")
    for bad in ("<script>document.title = 'taken'</script>", "<img src=x onerror=\"document.title = 'taken'\">"):
        path.write_text(text.replace("<main>", f"{bad}<main>"), "utf-8")
        person = sit(path)
        person.arrive()
        person.page.wait_for_selector("#agree")
        assert person.page.title() == "Where is it?"
        assert any("Content Security Policy" in each for each in person.noise)
    path.write_text(text, "utf-8")
    person = sit(path)
    person.arrive()
    person.page.wait_for_selector("#agree")
    refused = (
        """async () => { try { await fetch("https://example.org/"); return "sent"; } catch { return "refused"; } }"""
    )
    assert person.page.evaluate(refused) == "refused"
    with pytest.raises(Exception, match="TrustedHTML"):
        person.page.evaluate("document.querySelector('main').innerHTML = '<b>x</b>'")


def test_what_is_in_the_file(opened: OpenedStudy, tmp_path: Path) -> None:
    text = write(opened, tmp_path).read_text("utf-8")
    drawn = OfflineSessions(opened, KEY).get(1)
    assert drawn is not None
    [test] = [source for source, hidden in drawn.images if hidden]
    (low, high), points = TRUTH[test]
    for name in (*SOURCES, *TRUTH, KEY.secret.hex()):
        assert name not in text, name
    parts = Parts(text).found
    # All that runs, and all that paints, is named by its hash; nothing is loaded.
    policy = next(a["content"] for t, a, _ in parts if a.get("http-equiv") == "content-security-policy") or ""
    for tag in ("script", "style"):
        [inner] = [inner for t, a, inner in parts if t == tag and "type" not in a]
        own = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{own}'" in policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert not [a for t, a, _ in parts if (a.get("src") or (t == "link" and not (a["href"] or "").startswith("data:")))]
    [file] = [json.loads(inner) for _, a, inner in parts if a.get("id") == "pixq-study-file"]
    assert file["training"][0]["pjnd_range"] == [20, 21]
    [licenses] = [json.loads(inner) for _, a, inner in parts if a.get("id") == "pixq-licenses"]
    assert "Joshua R. de Leeuw" in licenses
    # The trials are all alike: a key, a size, levels. Their truth is nowhere.
    assert [set(each) for each in file["trials"]] == [{"key", "width", "height", "levels"}] * 3
    told = json.dumps(file)
    for number in (*(f"{each}" for point in points for each in point), f"[{low}, {high}]"):
        assert number not in told, number
    every = [*drawn.plan.training, *drawn.plan.trials]
    names = [f"{each.key}.{level}" for each in every for level in (0, *LEVELS)]
    images = {str(a["id"]): (a["data-media"], base64.b64decode(inner)) for _, a, inner in parts if "data-media" in a}
    assert list(images) == names
    for item in every:
        for level, image in opened.sources[item.source].levels.items():
            assert images[f"{item.key}.{level}"] == (image.media, image.path.read_bytes())


def test_files_of_all_numbers_ask_about_all_sources_equally_often(opened: OpenedStudy) -> None:
    sessions = OfflineSessions(opened, KEY)
    drawn = [sessions.get(number) for number in range(1, 21)]
    sources = [source for each in drawn if each for source, hidden in each.images if not hidden]
    counts = [sources.count(name) for name in SOURCES]
    assert sum(counts) == 40
    assert max(counts) - min(counts) <= 1
    # Always the same, and nothing of one file is in another.
    again = OfflineSessions(opened, KEY).get(7)
    assert again == drawn[6]
    assert len({each.seal for each in drawn if each}) == 20
    assert len({item.key for each in drawn if each for item in each.plan.trials}) == 60
    # 50 answers for each of four sources, two a session.
    assert sessions.get(100) is not None
    assert sessions.get(101) is None


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"number": 101}, r"--number 101: the files 1 to 100 answer all that is wanted; raise quota.answers"),
        ({"number": 0}, "--number is 0; give a whole number from 1 to 100000"),
        ({"language": "fr"}, "--language fr: the study has en, de"),
    ],
)
def test_what_can_not_be_built(opened: OpenedStudy, tmp_path: Path, options: Any, line: str) -> None:
    with pytest.raises(PixqError, match=line):
        write(opened, tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_files_are_not_overwritten_and_not_too_large(
    opened: OpenedStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.html"
    path.write_text("mine")
    with pytest.raises(PixqError, match="exists already"):
        write(opened, tmp_path)
    assert path.read_text() == "mine"
    path.unlink()
    monkeypatch.setattr(build_page_module, "LARGEST", 1000)
    with pytest.raises(PixqError, match=r"would have 0 MB.*lower quota\.images, or use fewer levels"):
        write(opened, tmp_path)
    monkeypatch.undo()
    with pytest.raises(PixqError, match="the study's page was not built; run `make`"):
        write(opened, tmp_path, page=tmp_path)
    assert list(tmp_path.iterdir()) == []
