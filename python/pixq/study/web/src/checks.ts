/** What a participant's screen must be like, and what changed since it was measured. Pure. */

import constants from "../../constants.json" with { type: "json" };

/** The window and its screen at one moment, in CSS pixels unless stated otherwise. */
export interface Environment {
  dpr: number;
  inner: [width: number, height: number];
  outer: [width: number, height: number];
  /** As the browser reports it; see `screenHeight`. */
  screen: [width: number, height: number];
  available: [width: number, height: number];
  /** Magnification by a pinch on the touchpad. */
  pinch: number;
}

/** What must not change, and what keeps somebody from beginning. */
export type Change = "small" | "zoom" | "monitor" | "size" | "pinch";
export type Problem = Change | "maximised";

/** The zoom levels of browsers. */
const ZOOMS = [0.25, 0.3, 1 / 3, 0.5, 2 / 3, 0.75, 0.8, 0.9, 1, 1.1, 1.2, 1.25, 1.33, 1.5, 1.7, 1.75, 2, 2.4, 2.5, 3, 4, 5];
/** The largest share of a maximised window that a border or a hidden task bar takes, and the rounding of sizes. */
const BORDER = 24;
const ROUNDING = 2;

/**
 * The browser's zoom, where it can be determined: Chromium reports a window's outer size without the zoom and its inner
 * size with it. Firefox reports both with it, so the result is 1 there, and `screen` includes the zoom too.
 */
export function zoomOf({ outer, inner }: Pick<Environment, "outer" | "inner">): number {
  const ratio = outer[0] / inner[0];
  const nearest = ZOOMS.reduce((a, b) => (Math.abs(b / ratio - 1) < Math.abs(a / ratio - 1) ? b : a));
  // Any other ratio comes from a side bar, not from a zoom.
  return Math.abs(nearest / ratio - 1) < 0.012 ? nearest : 1;
}

/** Height of the screen, in the page's own CSS pixels. */
export function screenHeight(environment: Environment): number {
  return environment.screen[1] / zoomOf(environment);
}

/** Centimetres of the screen's height. */
export function screenCm(environment: Environment, pxPerCm: number): number {
  return screenHeight(environment) / pxPerCm;
}

export function isHandheld(about: { userAgent: string; mobile: boolean | undefined; touchPoints: number }): boolean {
  if (about.mobile) return true;
  if (/Android|iPhone|iPad|iPod|Mobile|Tablet|Silk|Kindle|PlayBook/i.test(about.userAgent)) return true;
  // An iPad claims to be a Mac, and no Mac has a touch screen.
  return /Macintosh/.test(about.userAgent) && about.touchPoints > 1;
}

/** What keeps somebody from beginning. */
export function notReady(now: Environment, least: [number, number]): Problem[] {
  const problems: Problem[] = [];
  if (now.pinch !== 1) problems.push("pinch");
  if (now.inner[0] < least[0] || now.inner[1] < least[1]) problems.push("small");
  if (!isMaximised(now)) problems.push("maximised");
  return problems;
}

export function isMaximised({ outer, inner, available }: Environment): boolean {
  const zoom = zoomOf({ outer, inner });
  // Full screen counts too: then the inner size is that of the screen.
  const [across, down] = [Math.max(outer[0], inner[0] * zoom), Math.max(outer[1], inner[1] * zoom)];
  return across >= available[0] - BORDER && down >= available[1] - BORDER;
}

/** What has changed since the screen was calibrated. */
export function changes(before: Environment, now: Environment, least: [number, number]): Change[] {
  const problems: Change[] = [];
  if (now.pinch !== before.pinch) problems.push("pinch");
  const near = (a: number, b: number) => Math.abs(a - b) <= ROUNDING;
  if (now.dpr !== before.dpr) {
    // A zoom makes CSS pixels larger on the same screen. Firefox gives the screen's size in those, Chromium does not.
    const factor = now.dpr / before.dpr;
    const same = (scale: number) => near(now.screen[0] * scale, before.screen[0]) && near(now.screen[1] * scale, before.screen[1]);
    problems.push(same(1) || same(factor) ? "zoom" : "monitor");
    return problems;
  }
  if (!near(now.screen[0], before.screen[0]) || !near(now.screen[1], before.screen[1])) {
    problems.push("monitor");
    return problems;
  }
  if (now.inner[0] < least[0] || now.inner[1] < least[1]) problems.push("small");
  else if (!near(now.inner[0], before.inner[0]) || !near(now.inner[1], before.inner[1])) problems.push("size");
  return problems;
}

/** The lowest refresh rate at which pictures can alternate at `hertz`: each must stay for two refreshes or more. */
export function leastRate(hertz: number): number {
  return constants.flow.frames_per_image * hertz;
}
