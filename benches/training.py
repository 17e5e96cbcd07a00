"""Training speed: `pixq train`'s step against plain loops, and CUDA graphs against eager steps.

    python benches/training.py [cpu] [cuda]

Everything is timed in this run, interleaved, the best of several; ratios are what counts. Every plain loop is given the
number of threads that suits it best. Real data: ../shared/data, or PIXQ_TEST_DATA.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import pixq
from end_to_end import TID, best
from pixq import BuildSettings, PatchSet, Sampling, build
from pixq.models import build as build_model
from pixq.models.base import PatchModel
from pixq.runs.recipe import Recipe, read_recipe
from pixq.train.data import Pool
from pixq.train.partition import by_split
from pixq.train.sampling import balance, batches_of
from pixq.train.step import CoreStep, GraphedStep, Step, make_optimiser

#: As many as the Jianjin008 report trained on.
PATCHES = 1544
ROUNDS = 5


class PngPairs(Dataset[tuple[Tensor, Tensor]]):
    """What the notebooks had: each item opens its two PNG files."""

    def __init__(self, folder: Path, quality: np.ndarray) -> None:
        self.folder, self.quality = folder, quality

    def __len__(self) -> int:
        return len(self.quality)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        pair = []
        for kind in ("clean", "fused"):
            with Image.open(self.folder / f"{kind}_{item}.png") as image:
                pixels = torch.from_numpy(np.array(image.convert("RGB")))
            pair.append(pixels.permute(2, 0, 1).float() / 255)
        reference, distorted = pair
        stack = torch.cat([reference, distorted, (reference - distorted).abs()])
        return stack, torch.tensor(self.quality[item], dtype=torch.float32)


def plain_model() -> nn.Module:
    """The seed's network as one would write it."""
    layers = build_model(read_recipe("seed").model).body.layers
    assert isinstance(layers, nn.Sequential)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1))
    return model.to(memory_format=torch.contiguous_format)


def plain_epoch(model: nn.Module, optimiser: torch.optim.Optimizer, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """The plain eager loop."""
    loss_of = nn.SmoothL1Loss(beta=0.05)
    total = 0.0
    for stack, quality in batches:
        optimiser.zero_grad()
        loss = loss_of(model(stack)[:, 0], quality)
        loss.backward()
        optimiser.step()
        total += loss.item()
    return total


def pixq_epoch(pool: Pool, recipe: Recipe, step: Step, epoch: int) -> float:
    """An epoch of `pixq train`, without validation."""
    total = torch.zeros((), dtype=torch.float64, device=pool.device)
    weights = balance(pool, recipe.balance, False)
    for batch in batches_of(pool, 0, recipe, weights, epoch=epoch):
        total += step(pool.load(0), batch, len(batch.rows))
    return float(total)


def steps(recipe: Recipe, device: torch.device, kind: type[Step]) -> tuple[PatchModel, Step]:
    torch.manual_seed(0)
    model = build_model(recipe.model).to(device)
    return model, kind(model, model, make_optimiser(model, recipe.optimiser, device), recipe)


def patch_set(folder: Path) -> PatchSet:
    settings = BuildSettings(sampling=Sampling("random", None, 9), ratio=(0.8, 0.2, 0.0))
    return PatchSet(build("tid2013", TID, folder / "patches", settings=settings).out)


def with_threads(count: int, call: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        torch.set_num_threads(count)
        return call()

    return run


def on_cpu(folder: Path) -> None:
    patches = patch_set(folder)
    train = by_split(patches).train[np.arange(PATCHES)]
    cpu = torch.device("cpu")
    pool = Pool(train, cpu, 4096)
    records = train.records
    reference, fused = patches.reference[records.reference_row], train.fused()
    for number in range(PATCHES):
        Image.fromarray(reference[number]).save(folder / f"clean_{number}.png")
        Image.fromarray(fused[number]).save(folder / f"fused_{number}.png")
    for size in (16, 256):
        compare(pool, folder, reference, fused, size)


def compare(pool: Pool, folder: Path, reference: np.ndarray, fused: np.ndarray, size: int) -> None:
    """One batch size: `pixq train`'s step and the plain loops, in turn."""
    recipe = read_recipe("seed", [f"train.batch={size}"])
    model = plain_model()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.002)
    quality = torch.from_numpy(pool.quality.astype(np.float32))
    r, d = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).contiguous() for pixels in (reference, fused))
    loader = DataLoader(PngPairs(folder, pool.quality), batch_size=size, shuffle=True)

    def in_memory() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(PATCHES).split(size):
            yield torch.cat([r[rows], d[rows], (r[rows] - d[rows]).abs()], dim=1), quality[rows]

    _, step = steps(recipe, pool.device, CoreStep)
    epochs = iter(range(10**6))
    work: dict[str, Callable[[], object]] = {}
    for threads in (1, 2):
        work[f"in memory, {threads}"] = with_threads(threads, lambda: plain_epoch(model, optimiser, in_memory()))
        if size == 16:
            work[f"PNG an item, {threads}"] = with_threads(threads, lambda: plain_epoch(model, optimiser, iter(loader)))
    work["pixq"] = with_threads(1, lambda: pixq_epoch(pool, recipe, step, next(epochs)))
    for call in work.values():
        call()
    seconds = best(work, ROUNDS)
    print(f"seed recipe, batch {size}, {PATCHES} patches an epoch")
    for name, taken in seconds.items():
        unit = "" if name == "pixq" else " threads" if name.endswith("2") else " thread"
        print(f"  {name + unit:24} {PATCHES / taken:10,.0f} patches/s")
    for name, target in (("PNG an item", 10.0), ("in memory", 1.3)):
        found = [value for key, value in seconds.items() if key.startswith(name)]
        if found:
            print(f"  ratio to {name:15} {min(found) / seconds['pixq']:8.1f}   target {target}")


def on_cuda(folder: Path) -> None:
    if not torch.cuda.is_available():
        print("cuda: there is no GPU here")
        return
    device = torch.device("cuda", 0)
    train = by_split(patch_set(folder)).train[np.arange(PATCHES)]
    pool = Pool(train, device, 4096)
    print(f"{torch.cuda.get_device_name(device)}, seed recipe, batch 16")
    for precision in ("fp32", "tf32", "bf16"):
        # As `pixq train` sets it.
        torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        torch.backends.cudnn.conv.fp32_precision = "tf32" if precision == "tf32" else "ieee"  # type: ignore[attr-defined]
        recipe = read_recipe("seed", [f"train.precision={precision}"])
        kinds = {"eager": steps(recipe, device, Step)[1], "graph": steps(recipe, device, GraphedStep)[1]}

        def twenty(step: Step, recipe: Recipe = recipe) -> None:
            for epoch in range(20):
                pixq_epoch(pool, recipe, step, epoch)
            torch.cuda.synchronize()

        for step in kinds.values():
            twenty(step)
        seconds = best({name: lambda step=step: twenty(step) for name, step in kinds.items()}, ROUNDS)  # type: ignore[misc]
        for name, taken in seconds.items():
            print(f"  {precision} {name}: {20 * PATCHES / taken:12,.0f} patches/s, 20 epochs in {taken:.3f} s")
        print(f"  {precision} ratio {seconds['eager'] / seconds['graph']:.1f}   target 8")


def main() -> None:
    chosen = sys.argv[1:] or ["cpu", "cuda"]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}, pixq {pixq.__version__}"
    )
    for name, part in (("cpu", on_cpu), ("cuda", on_cuda)):
        if name in chosen:
            with tempfile.TemporaryDirectory() as folder:
                part(Path(folder))


if __name__ == "__main__":
    main()
