/** What must hold of a participant's screen, and what changed. Pure: the page gives what it measured. */

import constants from "../../constants.json" with { type: "json" };

/** The window and its screen at one moment, in CSS pixels where nothing else is said. */
export interface Environment {
  dpr: number;
  inner: [width: number, height: number];
  outer: [width: number, height: number];
  /** As the browser says it; see `screenHeight`. */
  screen: [width: number, height: number];
  available: [width: number, height: number];
  /** Magnification by fingers. */
  pinch: number;
}

/** What may not change, and what keeps somebody from beginning. */
export type Change = "small" | "zoom" | "monitor" | "size" | "pinch";
export type Problem = Change | "maximised";

/** The steps of zoom that browsers have. */
const ZOOMS = [0.25, 0.3, 1 / 3, 0.5, 2 / 3, 0.75, 0.8, 0.9, 1, 1.1, 1.2, 1.25, 1.33, 1.5, 1.7, 1.75, 2, 2.4, 2.5, 3, 4, 5];
/** What a border, or a task bar that hides itself, may take of a maximised window, and rounding of a size. */
const BORDER = 24;
const ROUNDING = 2;

/**
 * The browser's zoom, where it can be told: Chromium gives the outside of a window without it and the inside with it.
 * Firefox gives both with it, so that it is 1 there, and `screen` has it too.
 */
export function zoomOf({ outer, inner }: Pick<Environment, "outer" | "inner">): number {
  const ratio = outer[0] / inner[0];
  const nearest = ZOOMS.reduce((a, b) => (Math.abs(b / ratio - 1) < Math.abs(a / ratio - 1) ? b : a));
  // Anything else is a side bar, and no zoom.
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
  // An iPad says that it is a Mac, and no Mac has a touch screen.
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
  // Full screen counts: then the inside is as large as what there is.
  const [across, down] = [Math.max(outer[0], inner[0] * zoom), Math.max(outer[1], inner[1] * zoom)];
  return across >= available[0] - BORDER && down >= available[1] - BORDER;
}

/** What is no longer as it was when the screen was calibrated. */
export function changes(before: Environment, now: Environment, least: [number, number]): Change[] {
  const problems: Change[] = [];
  if (now.pinch !== before.pinch) problems.push("pinch");
  const near = (a: number, b: number) => Math.abs(a - b) <= ROUNDING;
  if (now.dpr !== before.dpr) {
    // A zoom makes CSS pixels larger on one and the same screen. Firefox counts the screen in those, Chromium does not.
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

/** Refreshes a second of a display on which pictures can alternate at `hertz`: each stays two refreshes or more. */
export function leastRate(hertz: number): number {
  return constants.flow.frames_per_image * hertz;
}
