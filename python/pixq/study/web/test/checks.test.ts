import assert from "node:assert/strict";
import { test } from "node:test";

import { changes, isHandheld, isMaximised, notReady, zoomOf, type Environment } from "../src/checks.ts";

const LEAST: [number, number] = [1360, 760];
const USUAL: Environment = { dpr: 1, inner: [1920, 950], outer: [1920, 1040], screen: [1920, 1080], available: [1920, 1040], pinch: 1 };

function with_(more: Partial<Environment>): Environment {
  return { ...USUAL, ...more };
}

test("phones and tablets are told from computers", () => {
  const ask = (userAgent: string, touchPoints = 0, mobile?: boolean) => isHandheld({ userAgent, mobile, touchPoints });
  assert.equal(ask("Mozilla/5.0 (X11; Linux x86_64) Chrome/140 Safari/537.36", 0, false), false);
  assert.equal(ask("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/140", 10), false, "a laptop with a touch screen");
  assert.equal(ask("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605"), false);
  assert.equal(ask("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605", 5), true, "an iPad says it is a Mac");
  assert.equal(ask("Mozilla/5.0 (Linux; Android 15; SM-X200) Chrome/140"), true);
  assert.equal(ask("anything", 0, true), true);
});

test("the zoom shows in Chromium's window, and a side bar is none", () => {
  for (const zoom of [0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2]) {
    assert.equal(zoomOf({ outer: [1920, 1040], inner: [Math.round(1920 / zoom), 700] }), zoom);
  }
  assert.equal(zoomOf({ outer: [1920, 1040], inner: [1510, 950] }), 1);
});

test("a maximised window may have borders and any zoom; full screen counts", () => {
  assert.ok(isMaximised(USUAL));
  assert.ok(isMaximised(with_({ outer: [1936, 1056] })));
  assert.ok(isMaximised(with_({ dpr: 1.25, inner: [1536, 760] })));
  assert.ok(isMaximised(with_({ outer: [1920, 1080], inner: [1920, 1080] })));
  assert.ok(!isMaximised(with_({ outer: [1800, 1040], inner: [1800, 950] })));
  assert.ok(!isMaximised(with_({ outer: [1920, 900], inner: [1920, 820] })));
});

test("what keeps from beginning", () => {
  assert.deepEqual(notReady(USUAL, LEAST), []);
  assert.deepEqual(notReady(with_({ inner: [1359, 950] }), LEAST), ["small"]);
  assert.deepEqual(notReady(with_({ inner: [1920, 759] }), LEAST), ["small"]);
  assert.deepEqual(notReady(with_({ pinch: 1.2 }), LEAST), ["pinch"]);
  assert.deepEqual(notReady(with_({ outer: [1500, 900], inner: [1500, 820] }), LEAST), ["maximised"]);
});

test("what may not change", () => {
  const look = (more: Partial<Environment>) => changes(USUAL, with_(more), LEAST);
  assert.deepEqual(look({}), []);
  assert.deepEqual(look({ inner: [1919, 951] }), [], "rounding is no change");
  assert.deepEqual(look({ inner: [1700, 950] }), ["size"]);
  assert.deepEqual(look({ inner: [1300, 950] }), ["small"]);
  assert.deepEqual(look({ dpr: 1.25, inner: [1536, 760] }), ["zoom"], "Chromium: the screen stays");
  assert.deepEqual(look({ dpr: 1.25, inner: [1536, 760], screen: [1536, 864] }), ["zoom"], "Firefox: the screen is zoomed");
  assert.deepEqual(look({ dpr: 2, inner: [1512, 860], screen: [1512, 982] }), ["monitor"]);
  assert.deepEqual(look({ screen: [2560, 1440] }), ["monitor"], "another monitor of the same scaling");
  assert.deepEqual(look({ pinch: 1.5 }), ["pinch"]);
});
