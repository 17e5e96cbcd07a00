"""Builds that were stopped: killed, interrupted, out of disk. They go on and end as if nothing had happened."""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pixq import _core
from pixq.geometry import Fusion
from pixq.patches.build import build
from pixq.patches.plan import BuildSettings
from support.built import digest, lines, mistake, pixq
from support.trees import photo, save

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX systems")


def write_tree(root: Path, references: int = 12, size: tuple[int, int] = (200, 240)) -> None:
    """Pairs whose build takes some tenths of a second: `references` of them, ten images each."""
    rows = ["reference,distorted,score,distortion,level"]
    for n in range(references):
        clean = photo(n, size)
        save(root / f"r{n:02}.png", clean)
        for level in range(1, 11):
            save(root / f"d{n:02}_{level}.png", clean // 2 + photo(100 * level + n, size) // (2 + level))
            rows.append(f"r{n:02}.png,d{n:02}_{level}.png,{1 - level / 20},noise,{level}")
    (root / "pairs.csv").write_text("\n".join(rows))


def command(root: Path, out: Path, *more: object) -> list[str]:
    fixed = ["build-patches", "--dataset", "pairs", "--root", root, "--out", out, "--fusion", "copy,blend"]
    return [sys.executable, "-m", "pixq", *map(str, [*fixed, *more])]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    write_tree(root)
    return root


@pytest.fixture(scope="module")
def unbroken(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of a build that nobody stopped."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    subprocess.run(command(tree, out), check=True, capture_output=True)
    return digest(out)


def stopped_build(tree: Path, out: Path, sent: signal.Signals, kind: str, number: int, threads: int = 1) -> list[str]:
    """The command of a build that stops itself; see `support.stopped_build`."""
    program = Path(__file__).parents[1] / "support" / "stopped_build.py"
    words = command(tree, out, "--threads", threads)
    return [sys.executable, str(program), sent.name, kind, str(number), *words[3:]]


def check_that_it_ends_the_same(tree: Path, out: Path, expected: dict[str, str], threads: int) -> None:
    """Whatever lies in the directory is whole, however early the end came; and the next build completes it."""
    whole = {name: sha for name, sha in digest(out).items() if not name.startswith(".pixq-build")}
    assert whole.items() <= expected.items()
    build("pairs", tree, out, settings=BuildSettings(fusions=(Fusion("copy"), Fusion("blend", 0.5))), threads=threads)
    assert digest(out) == expected


@pytest.mark.slow
def test_builds_killed_at_any_write_end_the_same(tree: Path, unbroken: dict[str, str], tmp_path: Path) -> None:
    """Before each file that Python opens or renames, from the lock to the manifest."""
    for number in itertools.count(1):
        out = tmp_path / f"out{number}"
        killed = subprocess.run(
            stopped_build(tree, out, signal.SIGKILL, "files", number), cwd=tmp_path, capture_output=True, check=False
        )
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL, killed
        assert not (out / "manifest.json").is_file()
        if out.is_dir():
            check_that_it_ends_the_same(tree, out, unbroken, threads=1 + number % 3)
    # The lock; and the plan, a note for each shard, images.jsonl and the manifest are opened and renamed.
    shards = sum(name.endswith(".distorted.npy") for name in unbroken)
    assert number == 1 + 2 * (3 + shards) + 1


@pytest.mark.slow
def test_builds_killed_after_any_number_of_images_end_the_same(
    tree: Path, unbroken: dict[str, str], tmp_path: Path
) -> None:
    had_shards = 0
    for number in range(0, 120, 5):
        out, threads = tmp_path / f"out{number}", 1 + number // 5 % 3
        arguments = stopped_build(tree, out, signal.SIGKILL, "images", number, threads)
        killed = subprocess.run(arguments, cwd=tmp_path, capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed
        assert not (out / "manifest.json").is_file()
        had_shards += any(out.glob("*.npy"))
        check_that_it_ends_the_same(tree, out, unbroken, threads=1 + number % 4)
    # A shard has 30 images at most: on one thread, every build of more than 60 images has left one.
    assert had_shards >= 3


def stop_in_the_middle(tree: Path, out: Path, sent: signal.Signals) -> subprocess.CompletedProcess[str]:
    """A build on one thread that gets a signal once its first shard is whole."""
    # After the lock, the plan and the first shard's note have been opened, and two of them renamed.
    arguments = stopped_build(tree, out, sent, "files", 6)
    return subprocess.run(arguments, cwd=out.parent, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_ctrl_c_keeps_whole_shards_and_says_how_to_go_on(tmp_path: Path, tree: Path, unbroken: dict[str, str]) -> None:
    stopped = stop_in_the_middle(tree, tmp_path / "out", signal.SIGINT)
    assert stopped.returncode == 130, stopped
    assert stopped.stderr.splitlines() == [
        "pixq: interrupted; complete shards are kept: run the same command again to resume"
    ]
    kept = sorted((tmp_path / "out" / ".pixq-build").glob("shard-*.json"))
    assert kept
    stamps = {note: note.stat().st_mtime_ns for note in kept}
    resumed = subprocess.run(command(tree, tmp_path / "out"), capture_output=True, text=True, check=True)
    assert f"{len(stamps)} shards were complete already" in resumed.stderr
    assert digest(tmp_path / "out") == unbroken


def test_a_builder_that_is_told_to_stop_stops(tmp_path: Path) -> None:
    write_tree(tmp_path, references=1)
    image = {"image_id": "a", "reference": "r00.png", "distorted": "d00_1.png", "blend_with": None}
    spec = {
        "name": "shard-00000",
        "size": 20,
        "roi": {"y": 4, "x": 4, "height": 12, "width": 12},
        "fusions": [{"type": "copy"}],
        "label": "image",
        "sampling": {"type": "grid", "stride": 20},
        "seed": 0,
        "min_difference": 0,
        "unchanged": "keep",
        "decode": {"max_pixels": 10**6, "colour": "srgb", "alpha": "refuse"},
        "images": [{**image, "distortion_type": "noise", "mos": 0.5, "quality": 0.5}],
    }
    progress = _core.Progress()
    arguments = (json.dumps(spec), tmp_path, tmp_path, tmp_path, progress)
    assert json.loads(_core.build_shard(*arguments))["records"] == 10 * 12
    assert (progress.images, progress.patches) == (1, 120)
    for file in tmp_path.glob("shard-*"):
        file.unlink()
    progress.cancel()
    with pytest.raises(KeyboardInterrupt):
        _core.build_shard(*arguments)
    assert not list(tmp_path.glob("shard-*")), "what was begun is removed"
    with pytest.raises(ValueError, match="spec: "):
        _core.build_shard("{}", *arguments[1:])


@pytest.mark.slow
def test_a_patch_set_is_not_opened_before_it_is_whole(tmp_path: Path, tree: Path) -> None:
    stop_in_the_middle(tree, tmp_path / "out", signal.SIGKILL)
    assert "the build is unfinished; run the same pixq build-patches again to resume" in mistake(
        pixq("verify", tmp_path / "out")
    )


@pytest.mark.slow
def test_an_unfinished_build_is_not_mixed_with_another(tmp_path: Path, tree: Path, unbroken: dict[str, str]) -> None:
    out = tmp_path / "out"
    stop_in_the_middle(tree, out, signal.SIGKILL)
    told = mistake(pixq(*command(tree, out, "--seed", 7)[3:]))
    assert "seed is 0 there and 7 here" in told
    # A shard that was damaged since is built again.
    note = json.loads(next((out / ".pixq-build").glob("shard-*.json")).read_text())
    name = next(name for name in note["files"] if name.endswith("distorted.npy"))
    with (out / name).open("r+b") as file:
        file.seek(500)
        file.write(b"damage")
    subprocess.run(command(tree, out), check=True, capture_output=True)
    assert digest(out) == unbroken


@pytest.mark.slow
def test_images_that_changed_meanwhile_are_named(tmp_path: Path) -> None:
    root, out = tmp_path / "tree", tmp_path / "out"
    write_tree(root)
    stop_in_the_middle(root, out, signal.SIGKILL)
    stat = (root / "d03_1.png").stat()
    os.utime(root / "d03_1.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    told = mistake(pixq(*command(root, out)[3:]))
    assert "d03_1.png: changed since the unfinished build" in told


def limited() -> None:
    """No file may grow past 200 kB: writes fail as they do on a full disk, with another number."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.slow
def test_a_write_that_fails_loses_nothing(tmp_path: Path, tree: Path, unbroken: dict[str, str]) -> None:
    out = tmp_path / "out"
    stopped = subprocess.run(command(tree, out), capture_output=True, text=True, check=False, preexec_fn=limited)
    assert stopped.returncode == 2, stopped
    assert stopped.stderr.count("\n") == 1
    assert "File too large; complete shards are kept: fix that and run the same command again" in stopped.stderr
    assert not (out / "manifest.json").exists()
    assert not list((out / ".pixq-build").glob("shard-*.npy")), "what was half written is removed"
    subprocess.run(command(tree, out), check=True, capture_output=True)
    assert digest(out) == unbroken


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path: Path, tree: Path, unbroken: dict[str, str]) -> None:
    """A real disk of 48 MB that another file fills to three quarters; mounting one needs root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "pixq", disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        (disk / "other").write_bytes(bytes(36 << 20))
        stopped = subprocess.run(
            command(tree, disk / "out", "--threads", 1), capture_output=True, text=True, check=False
        )
        assert stopped.returncode == 2, stopped
        assert stopped.stderr.count("\n") == 1
        assert "No space left on device; complete shards are kept" in stopped.stderr
        whole = len(list((disk / "out" / ".pixq-build").glob("shard-*.json")))
        assert whole > 0
        (disk / "other").unlink()
        resumed = subprocess.run(command(tree, disk / "out"), capture_output=True, text=True, check=True)
        assert f"{whole} shards were complete already" in resumed.stderr
        assert digest(disk / "out") == unbroken
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_two_builds_do_not_write_to_one_place(tmp_path: Path, tree: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(
        stopped_build(tree, out, signal.SIGSTOP, "files", 6), cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as first:
        _, status = os.waitpid(first.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        message = mistake(pixq(*command(tree, out)[3:]))
        first.send_signal(signal.SIGCONT)
        assert first.wait(timeout=300) == 0
    assert "another build is writing here" in message
    assert len(lines(out / "images.jsonl")) == 120
