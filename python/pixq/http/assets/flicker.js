// @ts-check
/**
 * Alternate pictures in step with the display.
 *
 * Pictures change only in `requestAnimationFrame`: timers drift against the display, so that pictures would now and then
 * stay one refresh more or less. A display of r Hz shows each picture for round(r / hertz) refreshes, 8 of them at
 * 60 Hz; r is measured, since browsers don't reveal it. This module does not depend on the page that uses it.
 */

/** Default number of pictures per second. */
export const HERTZ = 8;

/** The number of refreshes that the rate of a display is measured from. */
const MEASURED = 31;
/** A gap between refreshes, in milliseconds, that means a pause (another tab, a sleeping machine). */
const PAUSE = 500;
/** The number of last pictures whose refreshes the log keeps. */
const KEPT = 512;

/**
 * @typedef {object} Clock
 * @property {(callback: (now: number) => void) => number} requestAnimationFrame
 * @property {(handle: number) => void} cancelAnimationFrame
 */

/**
 * @typedef {object} Log
 * @property {number} hertz Requested pictures per second.
 * @property {number} rate Measured refreshes of the display per second; 0 before the measurement.
 * @property {number} frames Refreshes that each picture should stay.
 * @property {number} planned Pictures per second that follow from `frames`.
 * @property {number} achieved Pictures per second that were shown; 0 before the second change.
 * @property {number} late Refreshes that were missed, so that a picture may have stayed longer.
 * @property {number} pauses Long gaps between refreshes; nothing else counts them.
 * @property {number} changes Changes from one picture to the next.
 * @property {number[]} held Refreshes that each of the last pictures stayed.
 */

/**
 * The refreshes that a picture stays: rate / hertz, rounded; values near a half are rounded up. 60 Hz and 8 give 7.5, and
 * a display that measures 59.9 Hz once and 60.1 Hz the next time must not get 7 and then 8.
 * @param {number} rate Refreshes per second.
 * @param {number} hertz Pictures per second.
 */
export function framesPerImage(rate, hertz = HERTZ) {
  return Math.max(1, Math.floor(rate / hertz + 0.6));
}

/**
 * Measure refreshes per second, by the median of gaps, so that a late one does not matter.
 * @param {Clock} clock
 * @param {AbortSignal} [signal] Ends the measurement; the promise then never resolves.
 * @returns {Promise<number>}
 */
export function measureRate(clock = window, signal) {
  return new Promise(resolve => {
    /** @type {number[]} */
    const times = [];
    /** @param {number} now */
    const tick = now => {
      if (signal?.aborted) return;
      times.push(now);
      if (times.length < MEASURED) {
        clock.requestAnimationFrame(tick);
        return;
      }
      const gaps = times.slice(1).map((time, at) => time - times[at]).sort((a, b) => a - b);
      resolve(1000 / gaps[gaps.length >> 1]);
    };
    clock.requestAnimationFrame(tick);
  });
}

/** Alternates pictures on a canvas. */
export class Flicker {
  /**
   * @param {object} options
   * @param {HTMLCanvasElement} options.canvas Where to draw; the caller sets its size.
   * @param {ImageBitmap[]} options.images Two or more decoded images; the caller closes them.
   * @param {number} [options.hertz] Pictures per second.
   * @param {(log: Readonly<Log>, shown: number) => void} [options.watch] Called after each change.
   * @param {Clock} [options.clock] The display's clock; tests replace it.
   */
  constructor({ canvas, images, hertz = HERTZ, watch = () => {}, clock = window }) {
    if (images.length < 2) throw new RangeError("give at least two images");
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser can't draw on a canvas");
    this.context = context;
    this.images = images;
    this.hertz = hertz;
    this.watch = watch;
    this.clock = clock;
    /** The number of the image on the canvas. */
    this.shown = 0;
    this.running = false;
    this.disposed = false;
    /** @type {AbortController | null} */
    this.measuring = null;
    this.handle = 0;
    this.rate = 0;
    this.log = this.#empty();
  }

  /** @returns {Log} */
  #empty() {
    const frames = this.rate ? framesPerImage(this.rate, this.hertz) : 0;
    const planned = frames ? this.rate / frames : 0;
    return { hertz: this.hertz, rate: this.rate, frames, planned, achieved: 0, late: 0, pauses: 0, changes: 0, held: [] };
  }

  /** Start with the picture that is shown and a new log; the first start measures the display. */
  async start() {
    if (this.running || this.measuring || this.disposed) return;
    // Draw each picture once, so that no change has to upload one to the graphics card; end with the current one.
    const { shown, images } = this;
    for (let step = 1; step <= images.length; step++) this.#paint((shown + step) % images.length);
    if (!this.rate) {
      this.measuring = new AbortController();
      const { signal } = this.measuring;
      const rate = await measureRate(this.clock, signal);
      if (signal.aborted) return;
      this.measuring = null;
      this.rate = rate;
    }
    this.log = this.#empty();
    this.running = true;
    let last = 0;
    let stayed = 0;
    let first = 0;
    let counted = 0;
    const period = 1000 / this.rate;
    /** @param {number} now */
    const tick = now => {
      if (!this.running) return;
      this.handle = this.clock.requestAnimationFrame(tick);
      if (!last || now - last > PAUSE) {
        // As at the start: the time of this picture is counted from here.
        if (last) this.log.pauses++;
        last = now;
        stayed = 0;
        first = 0;
        counted = 0;
        return;
      }
      // Time stamps reveal refreshes without a callback.
      const passed = Math.max(1, Math.round((now - last) / period));
      last = now;
      this.log.late += passed - 1;
      stayed += passed;
      if (stayed < this.log.frames) return;
      this.#paint((this.shown + 1) % this.images.length);
      this.log.changes++;
      this.log.held.push(stayed);
      if (this.log.held.length > KEPT) this.log.held.shift();
      stayed = 0;
      if (first) {
        counted++;
        this.log.achieved = (1000 * counted) / (now - first);
      } else first = now;
      this.watch(this.log, this.shown);
    };
    this.handle = this.clock.requestAnimationFrame(tick);
  }

  /** Stop; the current picture stays. */
  stop() {
    this.measuring?.abort();
    this.measuring = null;
    this.running = false;
    this.clock.cancelAnimationFrame(this.handle);
  }

  /**
   * Continue with other pictures, as many as before, such as the same ones at another zoom.
   * @param {ImageBitmap[]} images
   */
  replace(images) {
    this.images = images;
    this.#paint(this.shown % images.length);
  }

  /** Stop for good. */
  dispose() {
    this.stop();
    this.disposed = true;
    this.images = [];
  }

  /** @param {number} number */
  #paint(number) {
    this.shown = number;
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.globalAlpha = 1;
    this.context.drawImage(this.images[number], 0, 0);
  }
}
