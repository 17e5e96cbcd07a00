"""Models: what goes into them, what comes out, how many weights they have, and which of them training moves."""

from __future__ import annotations

import copy
import math
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

from pixq.classes import NAMES
from pixq.errors import PixqError
from pixq.io.optional import require
from pixq.models import MODELS, build, parameters
from pixq.models import tiny as tiny_model
from pixq.models.base import NineChannels, PatchModel
from pixq.models.heads import Members, Ordinal, PatchScores, Regression
from pixq.models.monotone import Monotone, Statistics
from pixq.models.pooling import pool, pool_by
from pixq.models.spec import ModelSpec
from pixq.runs.recipe import LossSpec, OptimiserSpec, read_recipe
from pixq.train.metrics import plcc
from pixq.train.step import Error, Step, decorrelation, error_of, image_scores, make_optimiser

torch.set_num_threads(1)  # Two threads are slower on patches as small as these, and much slower on a busy machine.

Bytes = NDArray[np.uint8]
OWN = [name for name in MODELS if name != "pretrained"]
BACKBONE = "mobilenetv3_small_100"


def pairs(n: int = 6, size: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    both = torch.randint(0, 256, (2, n, size, size, 3), dtype=torch.uint8, generator=generator)
    return both[0], both[1]


def make(**spec: Any) -> PatchModel:
    torch.manual_seed(0)
    return build(ModelSpec(**spec))


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
    if name == "monotone" and head == "ordinal":
        with pytest.raises(PixqError, match=r"monotone gives quality itself; set model[.]head=regression"):
            any_model(name, head=head)
        return
    model = any_model(name, norm=norm, head=head)
    assert 1000 < parameters(model) < 500_000
    has_norm = any(isinstance(module, nn.GroupNorm) for module in model.modules())
    assert has_norm == (norm == "group" and name not in ("monotone", "pretrained"))


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
        members = 8 if name == "monotone" else 1
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
    with pytest.raises(PixqError, match="unknown model 'huge'; choose tiny, residual, inception, dual, monotone, pret"):
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
        f"the weights of {BACKBONE} are not there, and could not be fetched (we cannot connect to the hub); "
        "download them as safetensors and name the file: --set model.weights=FILE"
    )
    absent, damaged, other = (tmp_path / name for name in ("absent", "damaged", "other"))
    assert message(weights=str(absent)).startswith(f"{absent}: ")
    assert "--set model.weights=FILE" in message(weights=str(absent))
    damaged.write_bytes(Path(weights).read_bytes()[:5000])
    assert f"{damaged}: is not a whole safetensors file" in message(weights=str(damaged))
    assert str(tmp_path) in message(weights=str(tmp_path))
    require("safetensors", "safetensors.torch").save_file({"conv_stem.weight": torch.zeros(3)}, other)
    assert f"{other}: has not the weights of this backbone: conv_stem.weight" in message(weights=str(other))
    for name in ("nothing_like_it", "hf-hub:someone/something", ""):
        assert f"model.backbone is {name!r}, which timm does not have" in message(backbone=name, weights=weights)
    vision = message(backbone="vit_tiny_patch16_224", weights=weights)
    assert "gives no maps of a patch" in vision
    assert "choose one of convolutions" in vision


def test_layers_that_timm_renames_find_their_weights(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    whole = timm.create_model("convnext_atto", pretrained=False)
    path = tmp_path / "convnext.safetensors"
    require("safetensors", "safetensors.torch").save_file(whole.state_dict(), path)
    model = make(name="pretrained", backbone="convnext_atto", weights=str(path))
    stem = model.body.backbone.state_dict()["stem_0.weight"]  # type: ignore[union-attr, operator]
    assert torch.equal(stem, whole.state_dict()["stem.0.weight"])


# Heads.


def test_the_order_of_classes() -> None:
    assert NAMES == ("Red", "Orange", "Green")


@settings(max_examples=40)
@given(st.floats(-20, 20), st.floats(-10, 10), st.integers(0, 2**32))
def test_ordinal_probabilities(first: float, gap: float, seed: int) -> None:
    head = Ordinal(4, (0.33, 0.66))
    head.first.data.fill_(first)
    head.gap.data.fill_(gap)
    features = 10 * torch.randn(9, 4, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        raw = head(features)
        found = head.probabilities(raw)
        quality = head.quality(raw)
        better = head.quality(raw + 0.5)
    assert found.shape == (9, 3)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(9))
    # At least Orange is likelier than Green.
    assert (raw[:, 0] >= raw[:, 1]).all()
    torch.testing.assert_close(quality, found @ torch.tensor([0.0, 0.5, 1.0]), rtol=1e-5, atol=1e-6)
    assert ((quality >= 0) & (quality <= 1)).all()
    assert (better >= quality).all()


def test_ordinal_probabilities_by_hand() -> None:
    head = Ordinal(1, (0.33, 0.66))
    head.linear.weight.data.fill_(1.0)
    with torch.inference_mode():
        found = head.probabilities(head(torch.tensor([[0.0], [-1.0], [1.0]])))
    # The cut points start at -1 and +1, as softplus(1.8546) is 2.
    below = [1 / (1 + math.exp(-x)) for x in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    expected = [
        [below[1], below[3] - below[1], 1 - below[3]],
        [below[2], below[4] - below[2], 1 - below[4]],
        [below[0], below[2] - below[0], 1 - below[2]],
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_the_ordinal_loss_by_hand() -> None:
    head = Ordinal(1, (0.33, 0.66))
    raw = torch.full((6, 2), math.log(3.0)) * torch.tensor([1.0, -1.0])  # P(at least Orange) 3/4, P(Green) 1/4
    quality = torch.tensor([0.0, 0.3299, 0.33, 0.5, 0.66, 1.0])  # Red, Red, Orange, Orange, Green, Green
    sure, unsure = -math.log(3 / 4), -math.log(1 / 4)
    expected = [unsure + sure] * 2 + [sure + sure] * 2 + [sure + unsure] * 2
    np.testing.assert_allclose(head.loss(raw, quality, nn.Identity()).numpy(), expected, rtol=1e-6)


def test_an_ordinal_head_learns_the_order_of_classes() -> None:
    torch.manual_seed(0)
    head = Ordinal(1, (0.33, 0.66))
    quality = torch.linspace(0, 1, 101)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.2)
    for _ in range(150):
        optimiser.zero_grad()
        head.loss(head(quality[:, None]), quality, nn.Identity()).mean().backward()
        optimiser.step()
    with torch.inference_mode():
        raw = head(quality[:, None])
        found = [NAMES[i] for i in head.probabilities(raw).argmax(dim=1).tolist()]
    expected = ["Red" if q < 0.33 else "Orange" if q < 0.66 else "Green" for q in quality.tolist()]
    # One may be off at each cut.
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 4
    assert (found[0], found[50], found[-1]) == ("Red", "Orange", "Green")
    assert (head.quality(raw).diff() > 0).all()


def test_regression_is_clamped_where_it_is_read_alone() -> None:
    head = Regression(1)
    raw = torch.tensor([[-0.5], [0.25], [1.5]], requires_grad=True)
    assert head.quality(raw).tolist() == [0.0, 0.25, 1.0]
    head.loss(raw, torch.tensor([0.0, 0.25, 1.0]), nn.L1Loss(reduction="none")).sum().backward()
    assert raw.grad is not None
    assert raw.grad.flatten().tolist() == [-1.0, 0.0, 1.0]


def test_links() -> None:
    features = torch.tensor([[-30.0], [0.0], [30.0]])
    for link, expected in (("identity", [-30.0, 0.0, 30.0]), ("sigmoid", [0.0, 0.5, 1.0])):
        head = Regression(1, link)
        head.linear.weight.data.fill_(1.0)
        head.linear.bias.data.fill_(0.0)
        with torch.inference_mode():
            raw = head(features)
            assert head.quality(raw).tolist() == pytest.approx([min(max(x, 0.0), 1.0) for x in expected])
        assert raw[:, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("head", ["regression", "ordinal"])
@pytest.mark.parametrize("link", ["identity", "sigmoid"])
def test_quality_lies_in_its_range_whatever_the_weights(head: str, link: str) -> None:
    model = make(head=head, link=link).eval()
    for scale in (-1000.0, 1000.0):
        model.head.linear.weight.data.normal_().mul_(scale)
        with torch.inference_mode():
            quality = model.quality(model(*pairs(50)))
        assert quality.shape == (50,)
        assert ((quality >= 0) & (quality <= 1)).all()


def test_members_are_trained_alone_and_read_together() -> None:
    head = Members(2)
    raw = torch.tensor([[0.2, 0.6], [0.9, 1.5]], requires_grad=True)
    assert head.quality(raw).tolist() == pytest.approx([0.4, 1.0])
    each = head.loss(raw, torch.tensor([0.5, 0.5]), nn.L1Loss(reduction="none"))
    assert each.tolist() == pytest.approx([(0.3 + 0.1) / 2, (0.4 + 1.0) / 2])


# Monotone.


def test_identical_patches_have_no_distance() -> None:
    images = NineChannels()(*pairs(40, 12))[:, 0:3] * 255
    flat = torch.arange(0, 256, 15.0)[:, None, None, None].expand(-1, 3, 12, 12)
    for image in (images, flat):
        _, distance = Statistics()(image, image)
        assert distance.shape == (len(image), Statistics.distances)
        assert distance.abs().max() < 0.01
    _, distance = Statistics()(images, images.flip(0))
    assert (distance.amax(dim=0) > 0.05).all()
    assert (distance >= 0).all()


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, Statistics.distances - 1), st.floats(0.01, 5))
def test_a_score_can_only_fall_as_a_distance_grows(seed: int, which: int, more: float) -> None:
    torch.manual_seed(seed)
    model = Monotone(ModelSpec(name="monotone", members=3)).eval()
    for name, weight in model.named_parameters():
        weight.data += 0.5 * torch.randn_like(weight) * (name != "bend_out")
    context, distance = torch.randn(5, Statistics.contexts), torch.rand(5, Statistics.distances)
    longer = distance.clone()
    longer[:, which] += more

    def scores(values: Tensor) -> PatchScores:
        model._measure = lambda _: (context, values)  # type: ignore[method-assign]
        with torch.inference_mode():
            return model(context)  # type: ignore[no-any-return]

    before, after = scores(distance), scores(longer)
    assert (after.raw <= before.raw + 1e-6).all()
    # What a patch counts is by its reference alone.
    assert torch.equal(after.weight, before.weight)
    assert (before.weight > 0).all()
    # The part that may rise is held to its share.
    model.bend_out.data.normal_().mul_(100.0)
    bent = scores(longer)
    assert not torch.allclose(bent.raw, after.raw)
    assert ((bent.raw - after.raw).abs() <= Monotone.BEND + 1e-6).all()


def test_patches_of_an_image_lose_the_same_distances() -> None:
    torch.manual_seed(0)
    model = Monotone(ModelSpec(name="monotone", members=2, dropout=0.5))
    channels = NineChannels()(*pairs(1)).expand(12, -1, -1, -1)
    shown = torch.ones(3, Monotone.hidden)
    shown[1, ::2] = 0.0
    shown[2, :3] = 0.0
    with torch.no_grad():
        raw = model(channels, shown).raw.view(3, 4, 2)
        # Four of an image agree, and images don't, though all are one patch.
        assert torch.equal(raw, raw[:, :1].expand_as(raw))
        assert len(raw[:, 0, 0].unique()) == 3
        # Nothing is hidden from who only reads.
        torch.testing.assert_close(raw[0], model(channels).raw[:4])


def test_scales_are_those_of_the_training_patches() -> None:
    model = make(name="monotone")
    batches = [pairs(9, seed=1), pairs(4, seed=2)]
    model.calibrate(batches)
    found = [Statistics()(*(each.permute(0, 3, 1, 2).float() for each in batch)) for batch in batches]
    context, distance = (np.concatenate([part[i].numpy() for part in found]) for i in (0, 1))
    body = model.body
    assert isinstance(body, Monotone)
    np.testing.assert_allclose(body.context_mean.numpy(), context.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(body.context_scale.numpy(), context.std(axis=0) + 1e-3, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(body.distance_scale.numpy(), distance.mean(axis=0) + 0.01, rtol=1e-4, atol=1e-5)
    assert {"body.context_mean", "body.context_scale", "body.distance_scale"} <= set(model.state_dict())
    # Others have no scales to set.
    before = make().state_dict()
    tiny = make()
    tiny.calibrate(batches)
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())


# From patches to an image.


def scores_and_weights(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator) + 0.01


def by_hand(spec: ModelSpec, quality: NDArray[Any], weight: NDArray[Any]) -> float:
    if spec.pooling == "percentile":
        return float(np.percentile(quality, spec.percentile))
    if spec.pooling == "learned":
        return float(sum(quality * weight) / sum(weight))
    return float(sum(quality) / len(quality))


POOLINGS = st.one_of(
    st.just(ModelSpec()),
    st.just(ModelSpec(pooling="learned")),
    st.floats(0, 100).map(lambda p: ModelSpec(pooling="percentile", percentile=p)),
)


@given(POOLINGS, st.integers(1, 30), st.integers(0, 2**32))
def test_pooling_by_hand(spec: ModelSpec, patches: int, seed: int) -> None:
    quality, weight = scores_and_weights(seed, 3, patches)
    expected = [by_hand(spec, quality[i].double().numpy(), weight[i].double().numpy()) for i in range(3)]
    np.testing.assert_allclose(pool(spec, quality, weight).numpy(), expected, rtol=1e-5, atol=1e-6)


@given(POOLINGS, st.lists(st.sampled_from([3, 7, 8, 40]), min_size=1, max_size=25), st.integers(0, 2**32))
def test_images_with_different_counts_in_any_order(spec: ModelSpec, image: list[int], seed: int) -> None:
    quality, weight = scores_and_weights(seed, len(image))
    images, found = pool_by(spec, torch.tensor(image), quality, weight)
    assert images.tolist() == sorted(set(image))
    for number, score in zip(images.tolist(), found.tolist(), strict=True):
        own = np.array(image) == number
        expected = by_hand(spec, quality.double().numpy()[own], weight.double().numpy()[own])
        assert score == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_weights_of_patches_are_above_zero_and_learned() -> None:
    plain, learned = make(), make(pooling="learned")
    with torch.inference_mode():
        assert plain(*pairs()).weight.tolist() == [[1.0]] * 6
    assert learned.weigh is not None
    learned.weigh.bias.data.fill_(-1000.0)
    with torch.inference_mode():
        assert learned(*pairs()).weight[:, 0].tolist() == pytest.approx([1e-3] * 6)
    learned = make(pooling="learned")
    recipe = read_recipe("seed", ["model.pooling=learned", "train.unit=images"])
    error_of(learned, recipe, learned(*pairs()), torch.rand(6), 3).sum().backward()
    assert learned.weigh is not None
    assert learned.weigh.weight.grad is not None
    assert learned.weigh.weight.grad.abs().sum() > 0


# Losses.


@pytest.mark.parametrize(
    ("spec", "module"),
    [
        (LossSpec(), nn.SmoothL1Loss(beta=0.05, reduction="none")),
        (LossSpec(beta=0.4), nn.SmoothL1Loss(beta=0.4, reduction="none")),
        (LossSpec(name="mse"), nn.MSELoss(reduction="none")),
        (LossSpec(name="mae"), nn.L1Loss(reduction="none")),
    ],
)
def test_errors_are_torchs(spec: LossSpec, module: nn.Module) -> None:
    predicted, quality = scores_and_weights(3, 200)
    assert torch.equal(Error(spec)(predicted, quality), module(predicted, quality))


def test_smooth_l1_by_hand() -> None:
    found = Error(LossSpec(beta=0.05))(torch.tensor([0.5, 0.52, 0.55, 0.8]), torch.full((4,), 0.5))
    # Below beta 0.5 e^2 / beta, above it e - beta / 2.
    np.testing.assert_allclose(found.numpy(), [0.0, 0.5 * 0.02**2 / 0.05, 0.025, 0.3 - 0.025], atol=1e-6)


def test_the_loss_of_an_item() -> None:
    raw = torch.tensor([[0.2], [1.4], [0.6], [0.0]])
    quality = torch.tensor([0.1, 1.0, 0.5, 0.1])
    scores = PatchScores(raw, torch.tensor([[1.0], [3.0], [1.0], [1.0]]))
    patches = read_recipe("seed", ["loss.name=mae"])
    images = read_recipe("seed", ["loss.name=mae", "train.unit=images"])
    learned = read_recipe("seed", ["loss.name=mae", "train.unit=images", "model.pooling=learned"])
    for recipe, bag, expected in (
        (patches, 1, [0.1, 0.4, 0.1, 0.1]),
        # Pooled before the clamp: the mean of 0.2 and 1.4 is 0.8, that of the labels 0.55.
        (images, 2, [0.25, 0.0]),
        (learned, 2, [(0.2 + 3 * 1.4) / 4 - 0.55, 0.0]),
    ):
        model = build(recipe.model)
        found = error_of(model, recipe, scores, quality, bag)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_images_are_scored_by_each_member() -> None:
    model = make(name="monotone", members=2, pooling="learned")
    raw, weight = scores_and_weights(5, 6, 2)
    found = image_scores(model, PatchScores(raw, weight), 3)
    by_patch = (raw * weight).view(2, 3, 2).sum(dim=1) / weight.view(2, 3, 2).sum(dim=1)
    torch.testing.assert_close(found, by_patch)


@given(st.integers(3, 30), st.integers(1, 4), st.integers(0, 2**32))
def test_decorrelation_is_one_less_plcc(images: int, members: int, seed: int) -> None:
    predicted, _ = scores_and_weights(seed, images, members)
    quality, weight = scores_and_weights(seed + 1, images)
    expected = np.mean([1 - plcc(predicted[:, i], quality) for i in range(members)])
    assert decorrelation(predicted, quality, weight, 1).item() == pytest.approx(expected, abs=1e-4)
    # One that counts nothing, as of a process without images of its own, is left out.
    more = [torch.cat([each, torch.full_like(each[:1], 9.0)]) for each in (predicted, quality, weight)]
    more[2][-1] = 0.0
    assert decorrelation(more[0], more[1], more[2], 1).item() == pytest.approx(expected, abs=1e-4)
    # All images of one quality have no correlation, and no NaN.
    assert decorrelation(predicted, torch.full((images,), 0.5), weight, 1).isfinite()


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimiser(name: str, kind: type) -> None:
    model = make()
    optimiser = make_optimiser(model, OptimiserSpec(name=name, lr=0.25, weight_decay=0.125), torch.device("cpu"))
    assert type(optimiser) is kind
    (group,) = optimiser.param_groups
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.25, 0.125, (0.9, 0.999))
    assert sum(weight.numel() for weight in group["params"]) == 4417
    Step(model, model, optimiser, read_recipe("seed")).set_learning_rate(0.5)
    assert group["lr"] == 0.5


@pytest.mark.parametrize("norm", ["group", "none"])
@pytest.mark.parametrize("link", ["identity", "sigmoid"])
def test_the_core_computes_what_the_layers_of_tiny_do(norm: str, link: str) -> None:
    torch.manual_seed(3)
    on_core = build(ModelSpec(norm=norm, link=link))  # type: ignore[arg-type]
    on_layers = copy.deepcopy(on_core)
    assert on_core.kernel is not None
    on_layers.kernel = None
    random = np.random.default_rng(0)
    reference, distorted = torch.from_numpy(random.integers(0, 256, (2, 33, 20, 20, 3), dtype=np.uint8))
    outputs = []
    for model in (on_core, on_layers):
        scores = model(reference, distorted)
        # Two forward passes wait for their backward passes: one must not overwrite the other.
        other = model(distorted, reference)
        (scores.raw.square().sum() + 3 * other.raw.sum()).backward()
        outputs.append((scores, [weight.grad for weight in model.parameters()]))
    (core, core_gradients), (layers, layer_gradients) = outputs
    torch.testing.assert_close(core.raw, layers.raw, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(core.weight, layers.weight)
    for a, b in zip(core_gradients, layer_gradients, strict=True):
        assert a is not None
        assert b is not None
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


def test_a_copy_of_tiny_is_computed_with_its_own_weights() -> None:
    model = build(ModelSpec())
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
    patches = torch.full((2, 1, 20, 20, 3), 7, dtype=torch.uint8)
    assert twin(patches[0], patches[1]).raw.item() == 0.0
    assert model(patches[0], patches[1]).raw.item() != 0.0


def test_a_second_backward_pass_of_tiny_is_an_error() -> None:
    model = build(ModelSpec())
    patches = torch.full((2, 1, 20, 20, 3), 7, dtype=torch.uint8)
    raw = model(patches[0], patches[1]).raw.sum()
    raw.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="the backward pass of tiny was taken already"):
        raw.backward()


def test_bf16_leaves_the_statistics_of_monotone_as_they_are(any_model: Callable[..., PatchModel]) -> None:
    model = any_model("monotone")
    noise = torch.randint(-3, 4, (2, 16, 20, 20, 3))
    channels = model.channels(*(128 + noise).to(torch.uint8))
    plain = model.body._measure(channels)  # type: ignore[operator]
    with torch.autocast("cpu", torch.bfloat16):
        lower = model.body._measure(channels)  # type: ignore[operator]
    assert all(torch.equal(a, b) for a, b in zip(plain, lower, strict=True))


def test_scoring_without_gradients_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    patches = torch.randint(0, 256, (3, 20, 20, 3), dtype=torch.uint8)
    expected = model(patches, patches).raw.detach()

    def no_tape(**_: object) -> None:
        raise AssertionError("a tape was made")

    monkeypatch.setattr(tiny_model, "TinyTape", no_tape)
    for guard in (torch.no_grad, torch.inference_mode):
        model = make()
        with guard():
            assert model(patches, patches).raw.shape == expected.shape
