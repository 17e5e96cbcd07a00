"""Models: what goes into them, how many weights they have, and which of them training changes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from pixq.errors import PixqError
from pixq.io.optional import require
from pixq.models import MODELS, build, parameters
from pixq.models.base import NineChannels, PatchModel
from pixq.models.spec import ModelSpec
from pixq.runs.recipe import OptimiserSpec
from pixq.train.step import make_optimiser
from support.models import make, pairs

torch.set_num_threads(1)  # Two threads are slower on patches as small as these, and much slower on a busy machine.

Bytes = NDArray[np.uint8]
OWN = [name for name in MODELS if name != "pretrained"]
BACKBONE = "mobilenetv3_small_100"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of weights as timm's own are: of the whole network, most of which is not wanted here."""
    timm = pytest.importorskip("timm", reason="timm is not installed")
    save_file = require("safetensors", "safetensors.torch").save_file
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "backbone.safetensors"
    save_file(timm.create_model(BACKBONE, pretrained=False).state_dict(), path)
    return str(path)


@pytest.fixture
def any_model(request: pytest.FixtureRequest) -> Callable[..., PatchModel]:
    def of(name: str, **spec: Any) -> PatchModel:
        file = request.getfixturevalue("weights") if name == "pretrained" else ""
        return make(name=name, weights=file, **spec)

    return of


# Preprocessing.


def nine(reference: Bytes, distorted: Bytes) -> NDArray[np.float64]:
    """The nine channels, one loop a channel."""
    n, height, width, _ = reference.shape
    out = np.empty((n, 9, height, width))
    for channel in range(3):
        r, d = reference[..., channel].astype(int), distorted[..., channel].astype(int)
        out[:, channel], out[:, 3 + channel], out[:, 6 + channel] = r / 255, d / 255, abs(r - d) / 255
    return out


@settings(max_examples=40)
@given(st.integers(0, 4), st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32))
def test_nine_channels_are_numpys(n: int, height: int, width: int, seed: int) -> None:
    r, d = np.random.default_rng(seed).integers(0, 256, (2, n, height, width, 3), dtype=np.uint8)
    got = NineChannels()(torch.from_numpy(r), torch.from_numpy(d))
    assert got.dtype == torch.float32
    # 1 / 255 and the product are each rounded once.
    np.testing.assert_allclose(got.numpy(), nine(r, d), rtol=2**-22, atol=0)


@pytest.mark.parametrize("name", MODELS)
def test_every_body_gets_these_channels(name: str, any_model: Callable[..., PatchModel]) -> None:
    model = any_model(name).eval()
    seen: list[Tensor] = []
    model.body.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    r, d = pairs()
    with torch.inference_mode():
        own = model(r, d).raw
        # The core computes `tiny` on a CPU; these are the layers of PyTorch that it stands for.
        model.kernel = None
        torch.testing.assert_close(model(r, d).raw, own, rtol=1e-4, atol=1e-5)
        seen.clear()
        model(r, d)
        model(d, r)
    np.testing.assert_allclose(seen[0].numpy(), nine(r.numpy(), d.numpy()), rtol=2**-22, atol=0)
    # Reference and distorted change places, their difference stays.
    assert torch.equal(seen[1], seen[0][:, [3, 4, 5, 0, 1, 2, 6, 7, 8]])
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", OWN)
def test_reference_and_distorted_are_not_the_same_to_a_model(name: str) -> None:
    model = make(name=name).eval()
    r, d = pairs()
    with torch.inference_mode():
        assert not torch.allclose(model(r, d).raw, model(d, r).raw)


def test_preprocessing_is_in_every_checkpoint() -> None:
    model = make()
    assert {"channels.scale", "channels.shift"} <= set(model.state_dict())
    other = make()
    other.channels.scale.zero_()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.channels.scale, torch.full((9,), 1 / 255))


# Bodies.


def test_tiny_has_the_weights_of_the_report() -> None:
    convolutions = (9 * 32 * 9 + 32) + (32 * 16 + 16) + (16 * 8 * 9 + 8)
    assert convolutions + 8 + 1 == 4321
    assert parameters(make(norm="none")) == 4321
    assert parameters(make(norm="group")) == 4321 + 2 * 32 + 2 * 16 == 4417
    # An ordinal head has two cut points and no bias; learned pooling is one more linear layer.
    assert parameters(make(head="ordinal")) == 4417 + 1
    assert parameters(make(pooling="learned")) == 4417 + 9


@pytest.mark.parametrize("head", ["regression", "ordinal"])
@pytest.mark.parametrize("norm", ["group", "none"])
@pytest.mark.parametrize("name", MODELS)
def test_models_are_small(name: str, norm: str, head: str, any_model: Callable[..., PatchModel]) -> None:
    if name in ("monotone", "visibility") and head == "ordinal":
        with pytest.raises(PixqError, match=rf"{name} has its own head; set model[.]head=regression"):
            any_model(name, head=head)
        return
    model = any_model(name, norm=norm, head=head)
    assert 1000 < parameters(model) < 500_000
    has_norm = any(isinstance(module, nn.GroupNorm) for module in model.modules())
    assert has_norm == (norm == "group" and name not in ("monotone", "visibility", "pretrained"))


def test_residual_says_how_many_weights_it_has() -> None:
    first, blocks = 9 * 32 * 9 + 32, 4 * (32 * 32 * 9 + 32)
    half, half_blocks = 32 * 64 * 9 + 64, 4 * (64 * 64 * 9 + 64)
    norms = 5 * 2 * 32 + 5 * 2 * 64
    assert first + blocks + half + half_blocks + norms + 65 == 206_849
    assert parameters(make(name="residual")) == 206_849


@pytest.mark.parametrize("name", MODELS)
def test_a_score_is_of_its_own_patch_alone(name: str, any_model: Callable[..., PatchModel]) -> None:
    model = any_model(name, pooling="learned").eval()
    r, d = pairs(7)
    with torch.inference_mode():
        whole = model(r, d)
        members = 8 if name in ("monotone", "visibility") else 1
        assert whole.raw.shape == whole.weight.shape == (7, members)
        assert whole.raw.dtype == whole.weight.dtype == torch.float32
        each = [model(r[i : i + 1], d[i : i + 1]) for i in range(7)]
        none = model(r[:0], d[:0])
    torch.testing.assert_close(whole.raw, torch.cat([one.raw for one in each]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.weight, torch.cat([one.weight for one in each]), rtol=1e-4, atol=1e-5)
    assert none.raw.shape == none.weight.shape == (0, members)
    assert whole.raw.std() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_patches_of_other_sizes(name: str, any_model: Callable[..., PatchModel]) -> None:
    model = any_model(name).eval()
    for size in (MODELS[name].smallest, 13 - 13 % MODELS[name].multiple, 32):
        with torch.inference_mode():
            assert model.quality(model(*pairs(3, size))).isfinite().all()


def test_an_unknown_model() -> None:
    with pytest.raises(PixqError, match="unknown model 'huge'; choose tiny, residual, inception, dual, monotone, vis"):
        make(name="huge")


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        PixqError, match=r"^safetensors is not installed; install it with: pip install 'pixq\[train\]'$"
    ):
        require("safetensors")
    with pytest.raises(PixqError, match=r"^timm is not installed; .*'pixq\[pretrained\]'$"):
        make(name="pretrained", weights="saved")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(PixqError, match=r"^onnxscript is not installed; .*'pixq\[onnx\]'$"):
        require("onnxscript")
    # A package that is there, and lacks one of its own, is another matter.
    (tmp_path / "half_installed.py").write_text("import a_package_nobody_wrote\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_package_nobody_wrote"):
        require("half_installed")


# A frozen backbone.


def frozen(model: PatchModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items() if "backbone" in name}


def test_a_backbone_is_frozen(weights: str) -> None:
    model = make(name="pretrained", weights=weights)
    saved = require("safetensors", "safetensors.torch").load_file(weights)
    before = frozen(model)
    assert len(before) > 100
    assert all(torch.equal(value, saved[name.removeprefix("body.backbone.")]) for name, value in before.items())
    judge = model.body.judge[0].weight.detach().clone()  # type: ignore[index, union-attr]

    optimiser = make_optimiser(model, OptimiserSpec(lr=0.1), torch.device("cpu"))
    for _ in range(2):
        model.train()
        (model(*pairs()).raw - 1.0).square().mean().backward()
        optimiser.step()
    assert all(weight.grad is None for weight in model.body.backbone.parameters())  # type: ignore[union-attr]
    # Among these are the running means and variances of BatchNorm.
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(value, before[name]) for name, value in frozen(model).items())
    assert not torch.equal(model.body.judge[0].weight, judge)  # type: ignore[index, union-attr]
    assert parameters(model) == (2 * 32 * 64 + 64) + 65


def test_identical_patches_have_no_distance_to_a_backbone(weights: str) -> None:
    model = make(name="pretrained", weights=weights).eval()
    r, _ = pairs()
    with torch.inference_mode():
        raw = model(r, r).raw
    torch.testing.assert_close(raw, raw[:1].expand_as(raw))


def test_a_saved_backbone_needs_neither_file_nor_network(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec(name="pretrained", weights=weights)
    first = build(spec).eval()
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    second = build(spec.model_copy(update={"weights": "saved"})).eval()
    second.load_state_dict(first.state_dict())
    with torch.inference_mode():
        assert torch.equal(first(*pairs()).raw, second(*pairs()).raw)


def test_weights_that_are_not_there(weights: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")

    def message(**spec: Any) -> str:
        with pytest.raises(PixqError) as caught:
            make(name="pretrained", **spec)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    created = timm.create_model

    def without_network(*arguments: Any, pretrained: bool, **options: Any) -> Any:
        if pretrained:
            raise OSError("we cannot connect\nto the hub")
        return created(*arguments, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", without_network)
    assert message() == (
        f"the weights of {BACKBONE} could not be downloaded (we cannot connect to the hub); download them as "
        "safetensors, and give the file: --set model.weights=FILE"
    )
    absent, damaged, other = (tmp_path / name for name in ("absent", "damaged", "other"))
    assert message(weights=str(absent)).startswith(f"{absent}: ")
    assert "--set model.weights=FILE" in message(weights=str(absent))
    damaged.write_bytes(Path(weights).read_bytes()[:5000])
    assert f"{damaged}: is not a complete safetensors file" in message(weights=str(damaged))
    assert str(tmp_path) in message(weights=str(tmp_path))
    require("safetensors", "safetensors.torch").save_file({"conv_stem.weight": torch.zeros(3)}, other)
    assert f"{other}: does not have the weights of this backbone: conv_stem.weight" in message(weights=str(other))
    for name in ("nothing_like_it", "hf-hub:someone/something", ""):
        assert f"model.backbone is {name!r}, which timm does not have" in message(backbone=name, weights=weights)
    vision = message(backbone="vit_tiny_patch16_224", weights=weights)
    assert "has no feature maps for a patch" in vision
    assert "choose a convolutional network" in vision


def test_layers_that_timm_renames_find_their_weights(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    whole = timm.create_model("convnext_atto", pretrained=False)
    path = tmp_path / "convnext.safetensors"
    require("safetensors", "safetensors.torch").save_file(whole.state_dict(), path)
    model = make(name="pretrained", backbone="convnext_atto", weights=str(path))
    stem = model.body.backbone.state_dict()["stem_0.weight"]  # type: ignore[union-attr, operator]
    assert torch.equal(stem, whole.state_dict()["stem.0.weight"])
