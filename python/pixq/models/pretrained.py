"""A model on the features of a frozen backbone that was trained on photographs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pixq.errors import PixqError, one_line
from pixq.io.optional import require
from pixq.models import MODELS
from pixq.models.spec import ModelSpec

__all__ = ["Pretrained"]

#: Means and deviations of ImageNet's pixels, 0 to 1, which backbones were trained with.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pretrained(nn.Module):
    """The first two stages of a backbone of timm, frozen, for reference and distorted; a small net compares the two.

    `spec.backbone` names the backbone. Its weights come from `spec.weights`, a safetensors file; without one, timm
    downloads them when the model is built for the first time. They become part of the run, which then needs neither.
    The distance of unit-length features follows LPIPS (Zhang et al. 2018).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.backbone = _backbone(spec)
        self.backbone.requires_grad_(False)
        counts: list[int] = self.backbone.feature_info.channels()  # type: ignore[union-attr, operator]
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None])
        self.features = 64
        self.judge = nn.Sequential(nn.Linear(2 * sum(counts), 64), nn.ReLU(inplace=True))

    def train(self, mode: bool = True) -> Pretrained:
        """Set the training mode of the small net; the backbone's own statistics stay as they are."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, channels: Tensor) -> Tensor:
        """(n, 9, height, width) to features (n, 64)."""
        both = torch.cat([channels[:, 0:3], channels[:, 3:6]])
        parts = []
        for maps in self.backbone((both - self.mean) / self.deviation):
            unit = maps / (maps.square().sum(dim=1, keepdim=True) + 1e-10).sqrt()
            # Neither `chunk` nor `len`: both fix n where the model is exported.
            reference, distorted = unit[: channels.shape[0]], unit[channels.shape[0] :]
            parts += [(reference - distorted).square().mean(dim=(2, 3)), (reference - distorted).mean(dim=(2, 3)).abs()]
        features: Tensor = self.judge(torch.cat(parts, dim=1))
        return features


def _backbone(spec: ModelSpec) -> nn.Module:
    timm = require("timm")
    make = {"features_only": True, "out_indices": (0, 1)}
    # A name like hf-hub:owner/model would look for its network elsewhere, even where a run is only read.
    if not timm.is_model(spec.backbone):
        raise PixqError(
            f"model.backbone is {spec.backbone!r}, which timm does not have; choose one of timm.list_models()"
        )
    try:
        backbone: nn.Module = timm.create_model(spec.backbone, pretrained=False, **make)
        _check_maps(backbone)
    except Exception as error:
        # Each family of timm has its own way to refuse small images, or to have no maps.
        raise PixqError(
            f"model.backbone is {spec.backbone!r}, which has no feature maps for a patch ({one_line(error)}); "
            "choose a convolutional network, like mobilenetv3_small_100"
        ) from None
    if spec.weights == "saved":
        return backbone
    if spec.weights:
        return _load(backbone, Path(spec.weights))
    try:
        backbone = timm.create_model(spec.backbone, pretrained=True, **make)
    except Exception as error:
        # timm and the hub raise many kinds of errors where there is no network, all with one meaning here.
        raise PixqError(
            f"the weights of {spec.backbone} could not be downloaded ({one_line(error)}); "
            "download them as safetensors, "
            "and give the file: --set model.weights=FILE"
        ) from None
    return backbone


def _check_maps(backbone: nn.Module) -> None:
    counts = backbone.feature_info.channels()  # type: ignore[union-attr, operator]
    size = MODELS["pretrained"].smallest
    with torch.no_grad():
        maps = backbone.eval()(torch.zeros(1, 3, size, size))
    if [features.shape[1] for features in maps] != counts or any(features.dim() != 4 for features in maps):
        raise ValueError("its channels don't come first")


def _load(backbone: nn.Module, path: Path) -> nn.Module:
    safetensors = require("safetensors", "safetensors.torch")
    try:
        found = safetensors.load_file(path)
    except OSError as error:
        raise PixqError(
            f"{path}: {error.strerror or error}; give the file of the weights: --set model.weights=FILE"
        ) from None
    except Exception as error:
        raise PixqError(f"{path}: is not a complete safetensors file ({one_line(error)}); download it again") from None
    # timm renames the layers of some networks when it cuts them short: `stem.0.weight` becomes `stem_0.weight`.
    found = {name.replace(".", "_"): weight for name, weight in found.items()}
    wanted = {name: (name.replace(".", "_"), weight.shape) for name, weight in backbone.state_dict().items()}
    missing = [name for name, (key, shape) in wanted.items() if key not in found or found[key].shape != shape]
    if missing:
        raise PixqError(
            f"{path}: does not have the weights of this backbone: {missing[0]} is missing or has another shape; "
            "give another file"
        )
    backbone.load_state_dict({name: found[key] for name, (key, _) in wanted.items()})
    return backbone
