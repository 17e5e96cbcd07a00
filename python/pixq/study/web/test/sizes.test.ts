import assert from "node:assert/strict";
import { test } from "node:test";

import { nativeSize, physicalSize, snap, toImage } from "../flicker-jnd/sizes.ts";
import { CARD, frameWidth, pxPerCm } from "../src/card.ts";
import { screenCm, type Environment } from "../src/checks.ts";

/** A screen of so many device pixels a centimetre: what a card measures on it, in CSS pixels, at a scaling. */
function cardOn(devicePerCm: number, dpr: number): number {
  return frameWidth((CARD.width * devicePerCm) / dpr, dpr);
}

test("an image has its centimetres, whatever the operating system scales by", () => {
  for (const devicePerCm of [37.8, 43.3, 64, 110]) {
    for (const dpr of [1, 1.25, 1.5, 2, 3]) {
      const size = physicalSize(13.797, 10.347, pxPerCm(cardOn(devicePerCm, dpr)), dpr);
      // In device pixels, which are what the screen has: a card is found to half a pixel, and an image rounded to one.
      const off = 0.5 * (13.797 / CARD.width) + 0.5;
      assert.ok(Math.abs(size.width_device - 13.797 * devicePerCm) <= off, `${devicePerCm} ${dpr}`);
      assert.ok(Math.abs(size.height_device - 10.347 * devicePerCm) <= off, `${devicePerCm} ${dpr}`);
      assert.ok(Math.abs(size.width_css * dpr - size.width_device) < 1e-9);
      assert.equal(size.width_device, Math.round(size.width_device));
    }
  }
});

test("native: an image pixel is a device pixel", () => {
  for (const dpr of [1, 1.25, 1.5, 2]) {
    const size = nativeSize(640, 480, dpr);
    assert.deepEqual([size.width_device, size.height_device], [640, 480]);
    assert.ok(Math.abs(size.width_css - 640 / dpr) < 1e-9);
  }
});

test("the card is that of ISO/IEC 7810, and 96 dots an inch are 37.8 pixels a centimetre", () => {
  assert.deepEqual([CARD.width, CARD.height], [8.56, 5.398]);
  assert.ok(Math.abs(pxPerCm((8.56 * 96) / 2.54) - 96 / 2.54) < 1e-9);
});

test("a click is a place in the image, at any device pixel ratio", () => {
  for (const dpr of [1, 1.25, 2]) {
    const size = physicalSize(13.797, 10.347, 37.8 / dpr, dpr);
    const box = { left: 24.8, top: 61.6, width: size.width_css, height: size.height_css };
    // The middle of device pixel (i, j) is the middle of that share of the image.
    for (const [i, j] of [[0, 0], [100, 217], [size.width_device - 1, size.height_device - 1]]) {
      const [y, x] = toImage(box.left + (i + 0.5) / dpr, box.top + (j + 0.5) / dpr, box, 640, 480);
      assert.ok(Math.abs(x - ((i + 0.5) * 640) / size.width_device) < 1e-6);
      assert.ok(Math.abs(y - ((j + 0.5) * 480) / size.height_device) < 1e-6);
    }
  }
});

test("a click is never outside", () => {
  const box = { left: 10, top: 20, width: 100, height: 50 };
  assert.deepEqual(toImage(9, 75, box, 640, 480), [480, 0]);
  assert.deepEqual(toImage(111, 19, box, 640, 480), [0, 640]);
});

test("a box moves to the nearest device pixel", () => {
  for (const dpr of [1, 1.25, 1.5, 2]) {
    for (const at of [0, 10.3, 99.99, 7.5]) {
      const moved = (at + snap(at, dpr)) * dpr;
      assert.ok(Math.abs(moved - Math.round(moved)) < 1e-9);
      assert.ok(Math.abs(snap(at, dpr)) <= 0.5 / dpr + 1e-9);
    }
  }
});

test("a screen's height does not change with the browser's zoom", () => {
  // 1080 device pixels at 37.8 a centimetre: 28.57 cm.
  const screen = (zoom: number): Environment => ({
    dpr: zoom,
    inner: [1920 / zoom, 960 / zoom],
    outer: [1920, 1080],
    screen: [1920, 1080],
    available: [1920, 1040],
    pinch: 1,
  });
  for (const zoom of [0.5, 0.9, 1, 1.1, 1.25, 2]) {
    assert.ok(Math.abs(screenCm(screen(zoom), 37.8 / zoom) - 28.571) < 0.01, String(zoom));
  }
  // Firefox counts all of them in zoomed pixels.
  const firefox: Environment = { dpr: 2, inner: [960, 480], outer: [960, 540], screen: [960, 540], available: [960, 520], pinch: 1 };
  assert.ok(Math.abs(screenCm(firefox, 18.9) - 28.571) < 0.01);
});
