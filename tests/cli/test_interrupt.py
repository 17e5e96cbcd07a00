"""Ctrl-C while a command decodes a large image."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image


def decodes(process: int) -> bool:
    """Whether a thread of the process decodes a large image."""
    names = Path(f"/proc/{process}/task").glob("*/comm")
    return any(name.read_text().strip() == "pixq-decode" for name in names)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="threads are found in /proc")
def test_ctrl_c_ends_a_command_that_decodes(tmp_path: Path) -> None:
    image = Image.effect_noise((4500, 4500), 40)
    for name in ("reference.jpg", "distorted.jpg"):
        image.save(tmp_path / name, progressive=True, quality=80)
    command = [sys.executable, "-m", "pixq", "predict", tmp_path / "reference.jpg", tmp_path / "distorted.jpg"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as child:
        while child.poll() is None and not decodes(child.pid):
            time.sleep(0.005)
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        sent = time.perf_counter()
        _, said = child.communicate()
    # A second, and some more where tests run beside one another.
    assert time.perf_counter() - sent < 3
    assert (child.returncode, said) == (130, "pixq: interrupted\n")
