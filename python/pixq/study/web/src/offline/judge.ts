/** Whether a training answer is right: what `pixq.study.session.judge` says, to the last bit. Pure. */

import constants from "../../../constants.json" with { type: "json" };
import type { Point } from "../protocol.ts";

const { sigma, sigmas, needed } = constants.judgement;
const [REFERENCE_WIDTH, REFERENCE_HEIGHT] = constants.judgement.reference_size;

export interface Judgement {
  passed: boolean;
  in_range: boolean;
  /** Pairs: number of the answer's point, number of the truth's. */
  matched: [number, number][];
}

/** A number as a multiple of 2^-scale; every double is one. */
function whole(value: number, scale: number): bigint {
  return BigInt(value * 2 ** scale);
}

/** How often a number must be doubled to be whole. */
function scaleOf(value: number): number {
  let scale = 0;
  while (!Number.isInteger(value)) {
    value *= 2;
    scale++;
  }
  return scale;
}

/** In exact arithmetic, so that the page and the import agree about a point on the border. */
function isNear(point: Point, place: Point, width: number, height: number): boolean {
  const scale = Math.max(...point.map(scaleOf), ...place.map(scaleOf));
  // Coordinates too near to 0 to matter; no screen has such.
  if (scale > 900) return isNear(flat(point), flat(place), width, height);
  const off = (axis: 0 | 1) => whole(point[axis], scale) - whole(place[axis], scale);
  const [across, down] = [BigInt(width), BigInt(height)];
  const y = off(0) * BigInt(REFERENCE_HEIGHT) * across;
  const x = off(1) * BigInt(REFERENCE_WIDTH) * down;
  const most = BigInt(sigmas * sigma) * across * down << BigInt(scale);
  return y * y + x * x <= most * most;
}

/** How far from a place of the ground truth a point may be: down and across, in pixels of the image. */
export function radius(width: number, height: number): Point {
  return [(sigmas * sigma * height) / REFERENCE_HEIGHT, (sigmas * sigma * width) / REFERENCE_WIDTH];
}

function flat(point: Point): Point {
  return point.map(value => (Math.abs(value) < 1e-200 ? 0 : value)) as Point;
}

/** All ways to assign `count` points to different ones of `places`, in order. */
function* ways(count: number, places: number, taken: readonly number[] = []): Generator<readonly number[]> {
  if (taken.length === count) {
    yield taken;
    return;
  }
  for (let place = 0; place < places; place++) {
    if (!taken.includes(place)) yield* ways(count, places, [...taken, place]);
  }
}

export function judge(
  pjnd: number, points: readonly Point[], range: [number, number], truth: readonly Point[], width: number, height: number,
): Judgement {
  const near = points.map(point => truth.map(place => isNear(point, place, width, height)));
  let matched: [number, number][] = [];
  for (const way of ways(points.length, Math.max(points.length, truth.length))) {
    const pairs = way.flatMap((place, index): [number, number][] => (near[index][place] ? [[index, place]] : []));
    if (pairs.length > matched.length) matched = pairs;
  }
  const in_range = range[0] <= pjnd && pjnd <= range[1];
  return { in_range, matched, passed: in_range && matched.length >= needed };
}
