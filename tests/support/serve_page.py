"""The page of `pixq serve` in a browser, for its tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from support.serving import Files, Service

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: Whether the images are decoded and scored, and the result is there.
IDLE = """() => !document.querySelector("[aria-busy]") && document.getElementById("busy").hidden &&
  !document.getElementById("result").hidden"""
#: What a browser says of every answer that is an error.
EXPECTED = "Failed to load resource: the server responded with a status of "
#: What it says of tests that look at a canvas often.
OURS = "Canvas2D: Multiple readback operations"


@dataclass
class Shown:
    """A page, all that it complained of, and all that it asked for."""

    page: Any
    noise: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def give(self, files: Files) -> None:
        """Choose files by the file pickers."""
        for zone, (name, data) in files.items():
            self.page.set_input_files(f"#{zone} input", {"name": name, "mimeType": "", "buffer": data})

    def score(self, files: Files) -> Any:
        """Upload both, and what the service answered."""
        answers: list[Any] = []

        def remember(response: Any) -> None:
            if response.url.endswith("/api/predict"):
                answers.append(response)

        self.page.on("response", remember)
        with self.page.expect_response("**/api/predict"):
            self.give(files)
        # Where both zones were full, the first file asks too, and the second one ends that request.
        self.page.wait_for_function(IDLE)
        self.page.remove_listener("response", remember)
        self.settle()
        return answers[-1].json()

    def settle(self) -> None:
        """Wait until what was asked to be drawn is drawn."""
        self.refreshes(2)

    def refreshes(self, count: int) -> None:
        """Wait for as many refreshes of the display: the page can do nothing to it without one."""
        code = "n => new Promise(done => { const tick = () => n-- ? requestAnimationFrame(tick) : done(); tick(); })"
        self.page.evaluate(code, count)

    def pixel(self, x: float, y: float) -> list[int]:
        """The colour on the stage at a pixel of the image, RGB."""
        left, top, scale = self.frame()
        at = [int(left + (x + 0.5) * scale), int(top + (y + 0.5) * scale)]
        code = "([x, y]) => [...picture.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
        found: list[int] = self.page.evaluate(code, at)
        return found

    def frame(self, size: tuple[int, int] = (120, 170)) -> tuple[float, float, float]:
        """Where an image of `size` is on the stage, when all of it is seen."""
        width, height = self.page.evaluate("[picture.width, picture.height]")
        scale = float(self.page.inner_text("#zoom").split()[0]) / 100
        # As JavaScript rounds.
        return (width - size[1] * scale + 1) // 2, (height - size[0] * scale + 1) // 2, scale

    def hover(self, x: float, y: float) -> None:
        left, top, scale = self.frame()
        self.page.hover("#stage", position={"x": left + (x + 0.5) * scale, "y": top + (y + 0.5) * scale})


def quiet(shown: Shown, service: Service, *, refused: bool = False) -> None:
    known = (OURS, EXPECTED) if refused else (OURS,)
    noise = [text for text in shown.noise if not text.startswith(known)]
    assert noise == []
    assert [url for url in shown.asked if not url.startswith((service.url + "/", f"blob:{service.url}/"))] == []
