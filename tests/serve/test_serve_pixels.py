"""`pixq serve` on images with profiles and with transparent pixels."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from pixq.serve.app import Settings
from support import icc, serving, trees
from support.serve_requests import refused
from support.serving import Service, encoded

P3 = icc.rgb_profile(icc.P3, 2.2, "P3 by hand")
PHOTO = trees.photo(1, (40, 40))


def glass(alpha: int) -> bytes:
    rgba = np.full((40, 40, 4), 255, np.uint8)
    rgba[..., 3] = alpha
    return encoded(rgba)


def test_profiles_are_applied_and_told(service: Service) -> None:
    wide = encoded(PHOTO, icc_profile=P3)
    shown = icc.to_srgb(PHOTO / 255, round(2.2 * 256) / 256, icc.P3) * 255
    found = service.post({"reference": ("a", wide), "distorted": ("b", encoded(np.rint(shown).astype(np.uint8)))}).json
    assert found["pixels"] == {
        "colours": "sRGB", "intent": "relative colorimetric", "reference_profile": "P3 by hand",
        "distorted_profile": None, "backgrounds": [], "background": None,
        "reference_notes": [], "distorted_notes": [],
    }  # fmt: skip
    assert found["verdict"]["quality"] > 0.98
    with serving.running(serving.Judge(), Settings(colour_management=False)) as raw:
        assert not raw.ask("GET", "/api/model").json["colour_management"]
        found = raw.post({"reference": ("a", wide), "distorted": ("b", encoded(PHOTO))}).json
        assert found["pixels"]["colours"] == "raw"
        assert found["verdict"]["identical"] == 1


def test_transparent_uploads_are_put_on_backgrounds(service: Service) -> None:
    files = {"reference": ("a", glass(128)), "distorted": ("b", glass(60))}
    found = service.post(files).json
    assert found["pixels"]["backgrounds"] == ["black", "white"]
    assert found["pixels"]["background"] == "black"
    assert found["verdict"]["identical"] == 0
    white = service.post(files, background="white").json
    assert (white["pixels"]["background"], white["verdict"]["identical"]) == ("white", 1)
    both = service.post(files, background="white, checker").json
    assert both["pixels"]["background"] == "checker"
    refused(service.post(files, background="pink"), 422, "the background is 'pink'; choose from black, white")
    opaque = {"reference": ("a", glass(255)), "distorted": ("b", encoded(PHOTO))}
    assert service.post(opaque).json["pixels"]["background"] is None
    with serving.running(serving.Judge(), Settings(backgrounds=("checker",))) as other:
        assert other.post(files).json["pixels"]["background"] == "checker"


def test_pictures_for_browsers_stay_transparent(service: Service) -> None:
    rgba = np.dstack([PHOTO, np.full((40, 40), 77, np.uint8)])
    body = service.post({"image": ("a.tif", encoded(rgba, "TIFF"))}, "/api/picture").body
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(body))), rgba)


def test_visitors_are_told_of_no_options_that_they_do_not_have(service: Service) -> None:
    still = encoded(PHOTO)
    animation = encoded(PHOTO, save_all=True, append_images=[Image.fromarray(PHOTO[::-1])])
    torn = encoded(PHOTO, icc_profile=b"nothing")
    for data, wrong, advice in (
        (animation, "is an animated PNG", "; save the frame that you want as a plain image"),
        (torn, "has an ICC profile that can't be read (", "); save it as sRGB"),
    ):
        reply = service.post({"reference": ("a.png", data), "distorted": ("b.png", still)})
        assert reply.status == 422
        assert reply.json["error"].startswith(f"a.png: {wrong}")
        assert reply.json["error"].endswith(advice)
