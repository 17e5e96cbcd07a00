import assert from "node:assert/strict";
import { test } from "node:test";

import { backoff, nextToLoad, toForget } from "../flicker-jnd/order.ts";

test("the reference first, then what is near the slider, then the rest, each once", () => {
  const done = Array.from({ length: 8 }, () => false);
  const order: number[] = [];
  for (let at = 0; ; ) {
    const next = nextToLoad(done, at);
    if (next < 0) break;
    done[next] = true;
    order.push(next);
    if (order.length === 3) at = 6;
  }
  assert.deepEqual(order, [0, 1, 2, 6, 7, 5, 4, 3]);
});

test("what is far from the slider is let go, and never the reference", () => {
  assert.deepEqual(toForget([0, 1, 2, 3, 50, 51], 50, 3).sort((a, b) => a - b), [1, 2]);
  assert.deepEqual(toForget([0, 1, 2], 50, 3), []);
});

test("waits grow to a limit and differ between pages", () => {
  assert.equal(backoff(1, 0.5), 500);
  assert.equal(backoff(3, 0.5), 2000);
  assert.equal(backoff(30, 0.5), 15_000);
  assert.ok(backoff(2, 0) < backoff(2, 0.9));
});
