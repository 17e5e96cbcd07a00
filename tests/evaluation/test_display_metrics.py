"""Metrics by others' programs, and every metric's map: their own answers, viewing conditions, what is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pixq import PixqError
from pixq.evaluation.baselines import BASELINES
from pixq.evaluation.display_metrics import BUTTERAUGLI
from pixq.viewing import ViewingConditions
from support import trees
from support.metric_oracles import grey, halves

Image = NDArray[np.uint8]

#: Another value of each field that a metric may depend on.
OTHER = ViewingConditions(70.0, 400.0, 20.0)
FIELDS = ("pixels_per_degree", "peak_luminance", "ambient")

installed = pytest.mark.skipif(
    shutil.which(BUTTERAUGLI) is None, reason="there is no butteraugli_main here; install libjxl-devtools"
)
WITH_MAPS = [name for name, metric in BASELINES.items() if metric.measure_map is not None]


def some(names: list[str]) -> list[object]:
    return [pytest.param(name, marks=[installed] if name == "butteraugli" else []) for name in names]


@pytest.fixture(scope="module")
def pair() -> tuple[Image, Image]:
    reference = trees.photo(1, (96, 128))
    return reference, trees.distorted(reference, 101, 3)


@pytest.fixture(scope="module")
def spot() -> tuple[Image, Image]:
    """A photograph, and the same with noise in 12 x 12 pixels around row 30, column 90."""
    reference = trees.photo(2, (96, 128))
    distorted = reference.copy()
    noise = np.random.default_rng(0).integers(-60, 61, (12, 12, 3))
    distorted[24:36, 84:96] = np.clip(distorted[24:36, 84:96] + noise, 0, 255)
    return reference, distorted


# --- the programs' own answers --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_colorvideovdp_sees_the_display_that_is_described(pair: tuple[Image, Image]) -> None:
    """Its own standard display has 200 cd/m2, 1000:1, 250 lux and the default reflectance."""
    import pycvvdp
    import torch

    standard = pycvvdp.cvvdp(display_name="standard_4k", device=torch.device("cpu"), quiet=True)
    expected = float(standard.predict(pair[1], pair[0], dim_order="HWC")[0])
    conditions = ViewingConditions(standard.pix_per_deg, peak_luminance=200.0, ambient=250.0)
    assert BASELINES["colorvideovdp"].score(*pair, viewing=conditions) == pytest.approx(expected, abs=1e-5)
    assert standard.display_photometry.get_black_level()[1] == pytest.approx(conditions.reflected_luminance)
    assert sum(standard.display_photometry.get_black_level()) == pytest.approx(conditions.black_luminance)


@installed
def test_butteraugli_is_what_the_program_prints_for_the_files(pair: tuple[Image, Image], tmp_path: Path) -> None:
    for name, image in zip("rd", pair, strict=True):
        PillowImage.fromarray(image).save(tmp_path / f"{name}.png")
    command = [BUTTERAUGLI, str(tmp_path / "r.png"), str(tmp_path / "d.png"), "--intensity_target", "80"]
    printed = subprocess.run([*command, "--pnorm", "3"], capture_output=True, text=True, check=True).stdout
    score = BASELINES["butteraugli"].score(*pair, viewing=ViewingConditions(peak_luminance=80.0))
    assert score == float(re.search(r"3-norm: (\S+)", printed)[1])  # type: ignore[index]


def test_flip_and_ssimulacra2_are_what_their_packages_give_for_files(pair: tuple[Image, Image], tmp_path: Path) -> None:
    import flip_evaluator
    from ssimulacra2 import compute_ssimulacra2

    files = [str(tmp_path / f"{name}.png") for name in "rd"]
    for file, image in zip(files, pair, strict=True):
        PillowImage.fromarray(image).save(file)
    assert BASELINES["ssimulacra2"].score(*pair) == compute_ssimulacra2(*files)
    errors, mean, _ = flip_evaluator.evaluate(*files, "LDR", applyMagma=False, parameters={"ppd": 37.0})
    viewing = ViewingConditions(37.0)
    assert BASELINES["flip"].score(*pair, viewing=viewing) == pytest.approx(mean, abs=1e-6)
    np.testing.assert_allclose(BASELINES["flip"].map(*pair, viewing=viewing), errors[..., 0], atol=1e-6)


@pytest.mark.parametrize("name", some([name for name, metric in BASELINES.items() if metric.min_size <= 96]))
def test_a_score_depends_on_the_viewing_conditions_that_it_names_and_on_no_other(
    name: str, pair: tuple[Image, Image]
) -> None:
    metric, usual = BASELINES[name], ViewingConditions()
    score = metric.score(*pair, viewing=usual)
    for field in FIELDS:
        other = metric.score(*pair, viewing=replace(usual, **{field: getattr(OTHER, field)}))
        assert (other != score) == (field in metric.viewing), field


# --- maps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in WITH_MAPS if name != "butteraugli"])
def test_a_map_is_highest_where_images_differ_and_0_where_they_do_not(name: str, spot: tuple[Image, Image]) -> None:
    metric = BASELINES[name]
    found = metric.map(*spot)
    assert found.shape == spot[0].shape[:2]
    assert found.dtype == np.float64
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 20 <= row < 40
    assert 80 <= column < 100
    # Coarse bands reach far, but weakly.
    far = 0.02 if name in ("colorvideovdp", "visibility") else 1e-12
    assert np.abs(found[70:, :40]).max() <= far * found.max()
    assert np.abs(metric.map(spot[0], spot[0].copy())).max() <= 1e-12
    # Views are read as they are.
    turned = metric.map(*(image[::-1] for image in spot))
    assert turned.shape == found.shape
    assert turned.max() == pytest.approx(found.max(), rel=0.2)


# From 384 pixels on, two by two pixels are averaged first.
@pytest.mark.parametrize("shape", [(96, 128), (400, 386)])
def test_maps_are_those_that_scores_are_made_of(shape: tuple[int, int]) -> None:
    reference = trees.photo(3, shape)
    distorted = trees.distorted(reference, 103, 3)
    step = 2 if shape[0] > 384 else 1
    maps = {name: BASELINES[name].map(reference, distorted) for name in ("psnr", "ssim", "mdsi", "gmsd")}
    score = {name: BASELINES[name].score(reference, distorted) for name in maps}
    assert 10 * np.log10(255**2 / maps["psnr"].mean()) == pytest.approx(score["psnr"])
    inside = slice(5 * step, -5 * step)
    assert 1 - maps["ssim"][inside, inside].mean() == pytest.approx(score["ssim"])
    roots = (1 - maps["mdsi"][::step, ::step]).astype(complex) ** 0.25
    # At the edge of an averaged image, piq's padding adds a row and a column.
    assert np.abs(roots - roots.mean()).mean() ** 0.25 == pytest.approx(score["mdsi"], abs=1e-9 if step == 1 else 1e-3)
    assert (1 - maps["gmsd"][::2, ::2]).std() == pytest.approx(score["gmsd"])
    assert halves(grey(reference)).shape == maps["gmsd"][::2, ::2].shape


def test_a_metric_without_a_map_says_so(pair: tuple[Image, Image]) -> None:
    with pytest.raises(PixqError, match="VSI has no map; choose another metric"):
        BASELINES["vsi"].map(*pair)
    with pytest.raises(PixqError, match="MDSI needs at least 3"):
        BASELINES["mdsi"].map(pair[0][:2], pair[1][:2])


# --- programs that are missing, old or fail -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module", "package", "extra"),
    [
        ("colorvideovdp", "pycvvdp", "cvvdp", "rivals"),
        ("flip", "flip_evaluator", "flip-evaluator", "rivals"),
        ("ssimulacra2", "ssimulacra2", "ssimulacra2", "rivals"),
        ("fsim", "piq", "piq", "baselines"),
    ],
)
def test_a_missing_package_is_named_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PixqError) as error:
        BASELINES[name].check_available()
    assert str(error.value) == f"{package} is not installed; install it with: pip install 'pixq[{extra}]'"


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put a program called butteraugli_main on the PATH."""
    path = folder / BUTTERAUGLI
    path.write_text(f"#!{sys.executable}\nimport sys\n{text}")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_butteraugli_that_is_missing_old_or_fails(
    pair: tuple[Image, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = BASELINES["butteraugli"]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PixqError, match=r"butteraugli_main is not on the PATH; install libjxl .*libjxl-devtools\)$"):
        metric.check_available()
    program(tmp_path, monkeypatch, "print('--distmap')")
    with pytest.raises(PixqError, match=r"can't write its map; install libjxl 0\.9"):
        metric.map(*pair)
    with pytest.raises(PixqError, match=r"printed no 3-norm; install libjxl 0\.7"):
        metric.score(*pair)
    program(tmp_path, monkeypatch, "sys.exit('first line\\nout of memory')")
    with pytest.raises(PixqError, match=r"^butteraugli_main failed: out of memory$"):
        metric.score(*pair)


def test_butteraugli_that_writes_its_map(
    pair: tuple[Image, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of a PFM file run from the bottom up."""
    program(
        tmp_path,
        monkeypatch,
        "import array\n"
        "if len(sys.argv) == 1:\n    sys.exit('[--distmap <distmap>] [--rawdistmap <distmap>]')\n"
        "with open(sys.argv[sys.argv.index('--rawdistmap') + 1], 'wb') as file:\n"
        "    file.write(b'Pf\\n3 2\\n-1.0\\n' + array.array('f', range(6)).tobytes())\n",
    )
    assert BASELINES["butteraugli"].map(*pair).tolist() == [[3, 4, 5], [0, 1, 2]]
