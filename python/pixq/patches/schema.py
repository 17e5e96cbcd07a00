"""The files of a patch set as types, which check them when they are read.

`pixq.schemas` publishes the same types as JSON Schema for other programs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, with_config
from typing_extensions import TypedDict

from pixq.datasets.labels import LabelKind, Polarity
from pixq.geometry import FUSIONS, fusion_names
from pixq.io.images import Background, Colours, Intent
from pixq.io.json_file import Count, HexDigest, Share

__all__ = [
    "FORMAT",
    "MANIFEST",
    "SCHEMA_VERSION",
    "SCRATCH",
    "FileEntry",
    "ImageLine",
    "Manifest",
    "RecordLine",
    "ShardEntry",
]

FORMAT = "pixq patch set"
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

#: Where an unfinished build keeps what it needs to be resumed, inside the patch set's directory.
SCRATCH = ".pixq-build"


def _strict(title: str | None = None) -> ConfigDict:
    return ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, title=title)


Split = Literal["train", "validation", "test"]


def _fusion_name(name: str) -> str:
    if name not in FUSIONS:
        raise ValueError(f"it is {name!r}; expected {fusion_names()}")
    return name


FusionName = Annotated[str, AfterValidator(_fusion_name), WithJsonSchema({"enum": list(FUSIONS)})]
Positive = Annotated[int, Field(ge=1)]
Bytes = Annotated[Count, Field(description="size of the file")]
Checksum = Annotated[HexDigest, Field(description="checksum of the whole file, as b3sum prints it")]
SourceChecksum = Annotated[HexDigest, Field(description="checksum of the file")]
SourceFile = Annotated[str, Field(description="file, relative to the dataset's root")]
Patches = Annotated[Count, Field(description="distorted patches stored")]
FusedPatches = Annotated[Count, Field(description="fused patches")]
Unchanged = Annotated[Count, Field(description="patches in which nothing changed, stored or not")]
Identical = Annotated[Count, Field(description="fused patches equal to their reference")]
Fold = Annotated[Count, Field(description="number of the fold")]


@with_config(_strict())
class FileEntry(TypedDict):
    """Size and checksum of a file."""

    bytes: Bytes
    blake3: Checksum


@with_config(_strict())
class ShardEntry(TypedDict):
    """A shard: whole groups of one split."""

    name: Annotated[str, Field(pattern=r"^shard-[0-9]{5}$")]
    split: Split
    groups: list[str]
    reference_rows: Annotated[Count, Field(description="rows of NAME.reference.npy")]
    distorted_rows: Annotated[Count, Field(description="rows of NAME.distorted.npy")]
    records: Annotated[Count, Field(description="lines of NAME.jsonl")]
    files: dict[str, FileEntry]


@with_config(_strict())
class ImagesEntry(TypedDict):
    """`images.jsonl`, which describes the image pairs."""

    file: Literal["images.jsonl"]
    lines: Annotated[Count, Field(description="image pairs")]
    bytes: Bytes
    blake3: Checksum


@with_config(_strict())
class DatasetEntry(TypedDict):
    """The dataset that the patches were cut from."""

    name: str
    title: str
    licence: str
    citation: str


@with_config(_strict())
class LabelContractEntry(TypedDict):
    """What a score means; quality is derived from it once."""

    name: Annotated[str, Field(description="what the dataset calls its scores")]
    polarity: Polarity
    minimum: Annotated[float, Field(description="lower end of the scale")]
    maximum: Annotated[float, Field(description="upper end of the scale")]
    unit: Annotated[str, Field(description="the scale in words")]
    raters: Annotated[int | None, Field(description="people behind one score, where the dataset says so")]
    subject: Annotated[Literal["image", "patch"], Field(description="what was scored")]
    synthetic: Annotated[bool, Field(description="true if no person gave the scores")]
    note: str
    kind: NotRequired[
        Annotated[
            LabelKind,
            Field(
                description="what a score is: a rating; a rate, the share of people who noticed a difference; pjnd, "
                "the share of people whose PJND the level has reached; threshold, a multiple of it. Absent: a rating"
            ),
        ]
    ]


@with_config(_strict())
class ObserversEntry(TypedDict):
    """The people behind the score of one image pair."""

    raters: NotRequired[Annotated[Positive, Field(description="people who were asked")]]
    noticed: NotRequired[Annotated[Count, Field(description="how many of them noticed a difference")]]
    pjnd_range: NotRequired[
        Annotated[
            list[float],
            Field(min_length=2, max_length=2, description="lowest and highest level accepted as the ladder's PJND"),
        ]
    ]


@with_config(_strict())
class LabelEntry(TypedDict):
    """What the quality of a fused patch means; a patch that equals its reference has quality 1 either way."""

    kind: Literal["image", "energy"]
    meaning: str


@with_config(_strict())
class FusionEntry(TypedDict):
    """A fusion."""

    type: FusionName
    alpha: Annotated[
        Share | None, Field(description="the weight of the reference inside the RoI; null for all but blend")
    ]


@with_config(_strict())
class RoiEntry(TypedDict):
    """The region of interest inside a patch, in pixels."""

    y: Annotated[Count, Field(description="top row in the patch")]
    x: Annotated[Count, Field(description="left column in the patch")]
    height: Positive
    width: Positive


@with_config(_strict())
class GeometryEntry(TypedDict):
    """Size of a patch, and its region of interest."""

    size: Annotated[Positive, Field(description="rows and columns of a patch, in pixels")]
    roi: RoiEntry


@with_config(_strict())
class GridSampling(TypedDict):
    """Patches on a grid."""

    type: Literal["grid"]
    stride: Annotated[Positive, Field(description="pixels between neighbouring patches")]


@with_config(_strict())
class DrawnSampling(TypedDict):
    """Patches at places drawn at random, uniformly or where there is texture."""

    type: Literal["random", "texture"]
    n: Annotated[Positive, Field(description="patches per image")]


@with_config(_strict())
class FilterEntry(TypedDict):
    """Which image pairs were built."""

    buckets: Annotated[list[str] | None, Field(description="null: every image pair was built")]
    max_levels: int | None
    excluded: Annotated[dict[str, Positive], Field(description="image pairs left out, by reason")]


@with_config(_strict())
class SplitSizes(TypedDict):
    """Image pairs in each split."""

    train: Count
    validation: Count
    test: Count


@with_config(_strict())
class GroupEntry(TypedDict):
    """Where a group belongs."""

    split: Split
    fold: Fold


@with_config(_strict())
class SplitsEntry(TypedDict):
    """Train, validation and test, and folds, by reference."""

    by: Literal["reference"]
    ratio: Annotated[list[float], Field(min_length=3, max_length=3, description="shares of train, validation and test")]
    folds: Positive
    images: SplitSizes
    groups: Annotated[dict[str, GroupEntry], Field(description="the split and fold of each group")]
    given: NotRequired[
        Annotated[str, Field(description="what became of the dataset's own split; absent if it has none")]
    ]


@with_config(_strict())
class NearDuplicateEntry(TypedDict):
    """Two references that look alike."""

    references: Annotated[list[str], Field(min_length=2, max_length=2)]
    bits: Annotated[int, Field(ge=0, le=64, description="bits in which their 64-bit difference hashes differ")]


@with_config(_strict())
class PhotosEntry(TypedDict):
    """What the pixels of the references say about the groups."""

    sha256: Annotated[dict[str, HexDigest], Field(description="SHA-256 of the decoded pixels of each reference")]
    same: Annotated[
        list[str],
        Field(
            description="why references of several groups share a split: one photo under several names, or one file "
            "in several roles"
        ),
    ]
    near_duplicates: Annotated[list[NearDuplicateEntry], Field(description="references that look alike")]


@with_config(_strict())
class Counts(TypedDict):
    """Totals of the patch set."""

    images: Annotated[Count, Field(description="image pairs that were cut")]
    skipped: Annotated[Count, Field(description="image pairs that could not be used")]
    problems: Annotated[Count, Field(description="files that were missing, duplicated or without a score")]
    patches: Patches
    records: FusedPatches
    unchanged: Unchanged
    dropped: Annotated[Count, Field(description="unchanged patches that were not stored")]
    identical: Identical


@with_config(_strict())
class SkippedEntry(TypedDict):
    """An image pair that could not be used."""

    kind: Literal["missing", "duplicate", "corrupt", "unusable"]
    image_id: str | None
    file: Annotated[str, Field(description="relative to the dataset's root")]
    reason: str
    blake3: Annotated[str | None, Field(description="checksum of the file, if it could be read")]


@with_config(_strict())
class ProblemEntry(TypedDict):
    """Something that was wrong with the dataset's files."""

    kind: Literal["missing", "duplicate", "extra", "corrupt", "leak"]
    file: str
    detail: str
    left_out: Annotated[bool, Field(description="true if an image pair is left out because of it")]


@with_config(_strict())
class PixelsEntry(TypedDict):
    """Which pixels the patches were cut from."""

    colours: Annotated[Colours, Field(description="sRGB: samples with a profile were converted; raw: none were")]
    intent: Annotated[Intent | None, Field(description="rendering intent of the conversion; null if raw")]
    background: Annotated[
        Background | None,
        Field(description="what lies under transparent pixels; null: images that have some were refused"),
    ]
    frame: NotRequired[
        Annotated[
            int,
            Field(description="which frame of animations, or page of TIFFs; absent: files with several were refused"),
        ]
    ]


@with_config(_strict("manifest.json of a pixq patch set"))
class Manifest(TypedDict):
    """What a patch set says about itself."""

    format: Literal["pixq patch set"]
    schema_version: Literal[1]
    pixq_version: Annotated[str, Field(description="version of the program that wrote it")]
    dataset: DatasetEntry
    label_contract: LabelContractEntry
    label: LabelEntry
    geometry: GeometryEntry
    fusions: Annotated[
        list[FusionEntry], Field(min_length=1, description="each patch has one record for each of these")
    ]
    sampling: Annotated[GridSampling | DrawnSampling, Field(discriminator="type", description="where patches were cut")]
    seed: Annotated[Count, Field(description="keys sampling (with the image_id) and splits (with the group)")]
    min_difference: Annotated[
        int,
        Field(ge=0, le=255, description="patches with no larger difference in grey levels count as unchanged"),
    ]
    unchanged: Annotated[
        Literal["keep", "drop"], Field(description="whether unchanged patches were kept, with quality 1")
    ]
    pixels: NotRequired[
        Annotated[
            PixelsEntry,
            Field(description="absent from patch sets of earlier versions, which were cut from raw samples"),
        ]
    ]
    filter: FilterEntry
    splits: SplitsEntry
    photos: PhotosEntry
    counts: Counts
    skipped: Annotated[list[SkippedEntry], Field(description="image pairs that could not be used")]
    problems: Annotated[
        list[ProblemEntry], Field(description="everything that was wrong with the dataset's files, used or not")
    ]
    images: ImagesEntry
    shards: list[ShardEntry]
    identity: Annotated[
        dict[str, Any],
        Field(
            description="what two builds must share to be the same: the settings, the label contract and a SHA-256 of "
            "names, scores and splits"
        ),
    ]


Profile = Annotated[
    str | None,
    Field(
        description="the profile from which the file's samples were converted to sRGB; null if they were taken as they "
        "are, and absent from patch sets of earlier versions, which took all as they are"
    ),
]


@with_config(_strict("an image pair of a pixq patch set"))
class ImageLine(TypedDict):
    """A line of images.jsonl: one image pair."""

    image_id: str
    reference_id: str
    group: Annotated[str, Field(description="what stays in one split")]
    distortion_type: str
    level: Annotated[float | None, Field(description="level of the distortion")]
    MOS: Annotated[float, Field(description="the score as the dataset has it")]
    quality: Annotated[Share, Field(description="the score as quality; 1 = nobody notices")]
    PSNR_image: Annotated[
        float | None, Field(description="PSNR of the whole image, in dB; null where it equals its reference")
    ]
    bucket: Annotated[
        list[Literal["no_flicker", "slight_flicker", "same_score"]],
        Field(description="the buckets of the Jianjin008 report that it is in"),
    ]
    split: Split
    fold: Fold
    shard: Annotated[str, Field(description="where its patches are")]
    reference: SourceFile
    distorted: SourceFile
    blend_with: Annotated[
        str | None, Field(description="if set, the distorted image is the mean of `distorted` and this file")
    ]
    height: Annotated[Positive, Field(description="rows")]
    width: Annotated[Positive, Field(description="columns")]
    reference_icc: Annotated[bool, Field(description="whether `reference` carries an ICC profile")]
    distorted_icc: Annotated[bool, Field(description="whether `distorted` carries an ICC profile")]
    reference_profile: NotRequired[Profile]
    distorted_profile: NotRequired[Profile]
    notes: NotRequired[
        Annotated[
            list[str],
            Field(description="what is wrong with either file although its pixels are all there"),
        ]
    ]
    reference_blake3: SourceChecksum
    distorted_blake3: SourceChecksum
    blend_with_blake3: Annotated[str | None, Field(description="checksum of the file")]
    patches: Patches
    records: FusedPatches
    unchanged: Unchanged
    identical: Identical
    attributes: NotRequired[
        Annotated[
            dict[str, str],
            Field(min_length=1, description="what else the dataset says about the pair; absent if it says nothing"),
        ]
    ]
    observers: NotRequired[
        Annotated[
            ObserversEntry,
            Field(description="the people behind the score; absent where the dataset does not count them per pair"),
        ]
    ]


@with_config(_strict())
class Corner(TypedDict):
    """The patch's top left corner, in pixels."""

    x: Annotated[Count, Field(description="left column in the image")]
    y: Annotated[Count, Field(description="top row in the image")]


@with_config(_strict("a record of a pixq patch set"))
class RecordLine(TypedDict):
    # The core writes and reads these; this is for the schema alone.
    """A line of a shard's .jsonl: one fused patch."""

    image_id: Annotated[str, Field(description="its image pair in images.jsonl")]
    patch_id: Annotated[Count, Field(description="number of the patch among the places sampled in its image")]
    coords: Corner
    distortion_type: str
    MOS: Annotated[float, Field(description="the image's score as the dataset has it")]
    PSNR: Annotated[
        float | None, Field(description="PSNR of the fused patch, in dB; null where it equals its reference")
    ]
    fusion_type: FusionName
    alpha: Annotated[Share | None, Field(description="the weight of the reference in a blend")]
    quality: Annotated[Share, Field(description="1 = nobody notices; the manifest's `label` says what it means")]
    reference_row: Annotated[Count, Field(description="row in the shard's reference.npy")]
    distorted_row: Annotated[Count, Field(description="row in the shard's distorted.npy")]
    PSNR_roi: Annotated[
        float | None,
        Field(description="PSNR of the region of interest, in dB; null where it equals the reference's"),
    ]
    identical: Annotated[bool, Field(description="whether the fused patch equals its reference")]
