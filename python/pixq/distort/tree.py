"""Writes distorted images and their synthetic scores in the layout of Jianjin008."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pixq.distort.apply import check_image, distort, synthetic_quality
from pixq.distort.chain import Chain
from pixq.distort.kinds import DISTORTIONS, LEVELS, Image
from pixq.distort.whole import MAKER, save_png, write_whole
from pixq.errors import PixqError
from pixq.ranges import whole

__all__ = ["write_tree"]

_NOTE = (
    "No person gave these scores: each is pixq.distort.synthetic_quality of its image, "
    "a function of the PSNR (0 to 1, higher is better)."
)
# Increase it when a distortion's pixels or the layout change, so that existing trees are written again.
_VERSION = 1
#: The number of the first chain in file names.
_CHAINS = 80


def write_tree(
    references: Mapping[str, Image],
    root: str | os.PathLike[str],
    kinds: Sequence[str],
    levels: Sequence[int] | Mapping[str, Sequence[int]],
    seed: int = 0,
    chains: Sequence[Chain] = (),
) -> bool:
    """Distort references and write them with synthetic scores, in the layout of Jianjin008.

    The files are `ref_img/I<nn>.png`, `jnd_img/I<nn>_<dd>_<ll>.png` (nn: number of the reference, from 1 in the order
    of `references`; dd: `Distortion.number`; ll: the level), `mos.txt` (lines of `<file name> <score>`; scores are
    `synthetic_quality`) and `labels.json`, which says that the scores are synthetic and how every file was made. They
    appear together or not at all.

    Parameters
    ----------
    references
        Images by name, uint8 RGB of shape (height, width, 3). The names are written to `labels.json`.
    root
        The folder to write. A folder made by pixq is kept if it has the same content, and replaced if not.
    kinds
        Names in `DISTORTIONS`.
    levels
        Levels, 1 to 5: the same for all kinds, or a mapping with those of each kind.
    seed
        Seed of `distort`, which gets `I<nn>` as the image's name.
    chains
        Distortions one after the other; the first is number 80 in file names, the next 81, each with the level 1.

    Returns
    -------
    bool
        True if files were written, False if they were there already.

    Raises
    ------
    PixqError
        If `root` holds other files or can't be written, or an argument is out of range.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = Path(folder, "tree")
    ...     write_tree({"black": np.zeros((32, 32, 3), np.uint8)}, root, ["brightness"], [1, 2])
    ...     print((root / "mos.txt").read_text(), end="")
    True
    I01_16_01.png 1
    I01_16_02.png 0.446407
    """
    root = Path(root)
    if not references or not (kinds or chains):
        raise PixqError("there is nothing to write: give at least one reference and one kind of distortion")
    if len(chains) > 100 - _CHAINS:
        raise PixqError(f"there are {len(chains)} chains; give {100 - _CHAINS} at most")
    for name, image in references.items():
        check_image(image, name)
    ladders = {kind: _ladder(kind, levels) for kind in kinds}
    ids = {f"I{i:02d}": name for i, name in enumerate(references, start=1)}
    files = {
        f"{image_id}_{DISTORTIONS[kind].number:02d}_{level:02d}.png": (image_id, kind, level)
        for image_id in ids
        for kind, ladder in ladders.items()
        for level in ladder
    }
    linked = {
        f"{image_id}_{_CHAINS + place:02d}_01.png": (image_id, chain)
        for image_id in ids
        for place, chain in enumerate(chains)
    }
    made = {
        "synthetic": True,
        "note": _NOTE,
        "made_by": MAKER,
        "version": _VERSION,
        "seed": seed,
        "levels": ladders,
        "references": {
            image_id: {"name": name, "sha256": hashlib.sha256(references[name].tobytes()).hexdigest()}
            for image_id, name in ids.items()
        },
        "distortions": {
            kind: {
                "number": DISTORTIONS[kind].number,
                "values": [DISTORTIONS[kind].values[level - 1] for level in ladder],
                "unit": DISTORTIONS[kind].unit,
                "source": DISTORTIONS[kind].source,
            }
            for kind, ladder in ladders.items()
        },
        **({"chains": {str(chain): _CHAINS + place for place, chain in enumerate(chains)}} if chains else {}),
    }
    labels = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    wanted = {
        "labels.json",
        "mos.txt",
        *(f"ref_img/{i}.png" for i in ids),
        *(f"jnd_img/{f}" for f in (*files, *linked)),
    }

    def fill(new: Path) -> None:
        (new / "ref_img").mkdir()
        (new / "jnd_img").mkdir()
        for image_id, name in ids.items():
            save_png(references[name], new / "ref_img" / f"{image_id}.png")

        def write(file: str) -> str:
            image_id = file.partition("_")[0]
            reference = references[ids[image_id]]
            if file in files:
                _, kind, level = files[file]
                distorted = distort(reference, kind, level, seed, name=image_id)
            else:
                distorted = linked[file][1].apply(reference, seed, name=image_id)
            save_png(distorted, new / "jnd_img" / file)
            return f"{file} {synthetic_quality(reference, distorted):.6g}\n"

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            (new / "mos.txt").write_text("".join(pool.map(write, (*files, *linked))), encoding="utf-8")

    return write_whole(root, labels, wanted, fill)


def _ladder(kind: str, levels: Sequence[int] | Mapping[str, Sequence[int]]) -> list[int]:
    if kind not in DISTORTIONS:
        raise PixqError(f"unknown distortion {kind!r}; choose {', '.join(DISTORTIONS)}")
    ladder = {*(levels.get(kind, ()) if isinstance(levels, Mapping) else levels)}
    if not ladder:
        raise PixqError(f"no level of {kind!r} is named; give at least one, from 1 to {LEVELS}")
    return sorted(whole(1, LEVELS).check(level, f"a level of {kind!r}") for level in ladder)
