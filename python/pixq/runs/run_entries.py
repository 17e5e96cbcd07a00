"""The parts of `run.json` as types, which check what pixq uses of them; other keys may be there."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from pixq.io.json_file import Count, HexDigest, Share, first_fault
from pixq.ranges import PATCH_SIZE

__all__ = ["Adapted", "Best", "EpochNumber", "Loose", "PatchesInfo", "Split", "Timings"]

_LOOSE = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


EpochNumber = Annotated[int, Field(ge=0, le=1_000_000)]


class Loose(BaseModel):
    """A part of a file of which only some keys are used."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class ContractInfo(Loose):
    """A label contract."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", allow_inf_nan=False)

    name: str
    polarity: str
    minimum: float
    maximum: float


class FusionInfo(Loose):
    """A fusion."""

    type: str
    alpha: Share | None


class GeometryInfo(Loose):
    """The sides of a patch and of its RoI, in pixels."""

    size: Annotated[int, Field(ge=PATCH_SIZE.low, le=PATCH_SIZE.high)]
    roi: Annotated[int, Field(ge=PATCH_SIZE.low, le=PATCH_SIZE.high)]


class PatchesInfo(Loose):
    """What `run.json` says about the patch set."""

    directory: str
    fingerprint: HexDigest
    dataset: dict[str, str]
    label: dict[str, str]
    label_contract: ContractInfo
    geometry: GeometryInfo
    fusions: list[FusionInfo]


@with_config(_LOOSE)
class PartInfo(TypedDict, total=False):
    """The sizes of a part of the images."""

    images: Count
    records: Count


@with_config(_LOOSE)
class SplitInfo(TypedDict, total=False):
    """Which images were used for what."""

    rule: str
    train: PartInfo
    validation: PartInfo
    held_out: PartInfo
    photos: dict[str, list[str]]


@with_config(_LOOSE)
class BestInfo(TypedDict):
    """The epoch whose weights were kept."""

    epoch: EpochNumber
    loss: float


@with_config(_LOOSE)
class TimingsInfo(TypedDict, total=False):
    """How long training took."""

    seconds: Annotated[float, Field(ge=0.0)]


@with_config(_LOOSE)
class OriginInfo(TypedDict):
    """A directory that a run was made from."""

    directory: str


@with_config(_LOOSE)
class TargetInfo(TypedDict):
    """The patch set that a run was adapted to."""

    directory: str
    fingerprint: str
    patches: Count


AdaptedInfo = TypedDict("AdaptedInfo", {"how": str, "from": OriginInfo, "to": TargetInfo})
AdaptedInfo = with_config(_LOOSE)(AdaptedInfo)  # type: ignore[misc]


def _checks(kind: Any) -> AfterValidator:
    """Check a part against its type, and leave it as it is."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def check(value: Any) -> Any:
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None
        return value

    return AfterValidator(check)


Adapted = Annotated[dict[str, Any], _checks(AdaptedInfo)]
Best = Annotated[dict[str, Any], _checks(BestInfo)]
Split = Annotated[dict[str, Any], _checks(SplitInfo)]
Timings = Annotated[dict[str, Any], _checks(TimingsInfo)]
