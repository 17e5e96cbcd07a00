"""`--frame` and warnings about damaged images in commands."""

import json
from pathlib import Path

import pytest

from pixq.cli import main
from pixq.io.images import ReadOptions, read_pixels
from support.decode_fixtures import photo, saved


@pytest.fixture
def animation(tmp_path: Path) -> Path:
    path = tmp_path / "animation.png"
    path.write_bytes(saved(photo(40, 60), "PNG", save_all=True, append_images=[photo(40, 60, 1)]))
    return path


def test_predict_compares_the_chosen_frame(animation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    still = tmp_path / "still.png"
    photo(40, 60).save(still)
    assert main(["predict", str(still), str(animation)]) == 2
    assert "is an animated PNG; choose one of its frames, e.g. --frame 0" in capsys.readouterr().err
    out = tmp_path / "out.json"
    assert main(["predict", str(still), str(animation), "--frame", "0", "--json", str(out)]) == 0
    written = json.loads(out.read_text())
    assert written["pixels"]["frame"] == 0
    assert written["image"]["identical"] is True or written["patches"]["quality"] == [1.0] * len(
        written["patches"]["y"]
    )


def test_a_frame_is_compared_with_a_still_image(animation: Path, tmp_path: Path) -> None:
    still, out = tmp_path / "still.png", tmp_path / "out.json"
    photo(40, 60, 1).save(still)
    for pair in ([still, animation], [animation, still]):
        assert main(["predict", *map(str, pair), "--frame", "1", "--json", str(out)]) == 0
        assert set(json.loads(out.read_text())["patches"]["quality"]) <= {1.0}


def test_frames_are_counted_from_0(animation: Path) -> None:
    assert read_pixels(animation, options=ReadOptions(frame=1)).shape == (40, 60, 3)
    with pytest.raises(ValueError, match="has no frame 2; frames are counted from 0"):
        read_pixels(animation, options=ReadOptions(frame=2))
    assert main(["predict", str(animation), str(animation), "--frame", "-1"]) == 2


def test_a_damaged_image_is_named_on_stderr_and_in_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, cut, out = tmp_path / "whole.jpg", tmp_path / "cut.jpg", tmp_path / "out.json"
    data = saved(photo(40, 60), "JPEG")
    whole.write_bytes(data)
    cut.write_bytes(data[:-2])
    with pytest.MonkeyPatch.context() as context:
        # As outside of tests, where warnings are no errors.
        context.setattr("warnings.filters", [])
        assert main(["predict", str(whole), str(cut), "--json", str(out)]) == 0
    assert f"pixq: warning: {cut}: is a JPEG without its end marker" in capsys.readouterr().err
    assert json.loads(out.read_text())["pixels"]["distorted_notes"][0].startswith("is a JPEG without its end marker")


def test_a_command_that_finds_pairs_done_warns_of_damage_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = saved(photo(40, 60), "JPEG")
    for folder, content in (("whole", data), ("cut", data[:-2])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(content)
    command = ["predict", str(tmp_path / "whole"), str(tmp_path / "cut"), "--json", str(tmp_path / "out")]
    for done_before in (False, True):
        with pytest.MonkeyPatch.context() as context:
            context.setattr("warnings.filters", [])
            assert main(command) == 0
        said = capsys.readouterr()
        assert ("done before: 1" in said.out) == done_before
        assert f"pixq: warning: {tmp_path / 'cut' / 'a.jpg'}: is a JPEG without its end marker" in said.err
