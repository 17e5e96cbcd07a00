// @ts-check
/**
 * Pictures that alternate in step with the display.
 *
 * What is shown changes only in `requestAnimationFrame`: timers drift against the display, and a picture would stay now
 * one refresh longer, now one shorter. A display of r Hz shows each picture for round(r / hertz) refreshes, 8
 * of them at 60 Hz; r is measured, since browsers don't tell it. Nothing here knows of the page it is on.
 */

/** Pictures a second, unless another number is asked for. */
export const HERTZ = 8;

/** Refreshes from which the rate of a display is measured. */
const MEASURED = 31;
/** A gap between refreshes from which nobody was looking (another tab, a machine asleep), in milliseconds. */
const PAUSE = 500;
/** How many of the last pictures the log has the refreshes of. */
const KEPT = 512;

/**
 * @typedef {object} Clock
 * @property {(callback: (now: number) => void) => number} requestAnimationFrame
 * @property {(handle: number) => void} cancelAnimationFrame
 */

/**
 * @typedef {object} Log
 * @property {number} hertz Pictures a second that were asked for.
 * @property {number} rate Refreshes of the display a second, as measured; 0 before.
 * @property {number} frames Refreshes that each picture is to stay.
 * @property {number} planned Pictures a second that this makes.
 * @property {number} achieved Pictures a second that there were; 0 before the second change.
 * @property {number} late Refreshes that were missed: a picture stayed longer, or the page did nothing at them.
 * @property {number} pauses Times that nothing was shown for long; they count nowhere else.
 * @property {number} changes Changes from a picture to the next.
 * @property {number[]} held Refreshes that each of the last pictures stayed.
 */

/**
 * How many refreshes a picture stays: rate / hertz, rounded. Near a half it is the larger number: 60 Hz and 8 make 7.5,
 * and what is measured as 59.9 one time and as 60.1 the next must not be 7 once and 8 then.
 * @param {number} rate Refreshes a second.
 * @param {number} hertz Pictures a second.
 */
export function framesPerImage(rate, hertz = HERTZ) {
  return Math.max(1, Math.floor(rate / hertz + 0.6));
}

/**
 * Refreshes a second: the median of some, so that one that came late tells nothing.
 * @param {Clock} clock
 * @param {AbortSignal} [signal] Ends it; it is then never resolved.
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
   * @param {HTMLCanvasElement} options.canvas Where; its size is its owner's.
   * @param {ImageBitmap[]} options.images Two or more, decoded before; they stay their owner's, who closes them.
   * @param {number} [options.hertz] Pictures a second.
   * @param {(log: Readonly<Log>, shown: number) => void} [options.watch] Called after each change.
   * @param {Clock} [options.clock] Of the display; tests give their own.
   */
  constructor({ canvas, images, hertz = HERTZ, watch = () => {}, clock = window }) {
    if (images.length < 2) throw new RangeError("give two images or more");
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser draws nothing");
    this.context = context;
    this.images = images;
    this.hertz = hertz;
    this.watch = watch;
    this.clock = clock;
    /** Which of the images is on the canvas. */
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

  /** Begin, with the picture that is shown and a new log; the display is measured first, once. */
  async start() {
    if (this.running || this.measuring || this.disposed) return;
    // Each is drawn before, so that no change pays for bringing one to the graphics card. The last one stays.
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
        // From here on it is as at the start: this picture begins anew.
        if (last) this.log.pauses++;
        last = now;
        stayed = 0;
        first = 0;
        counted = 0;
        return;
      }
      // Time stamps tell of refreshes at which the page was not asked.
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

  /** End; the picture that is shown stays. */
  stop() {
    this.measuring?.abort();
    this.measuring = null;
    this.running = false;
    this.clock.cancelAnimationFrame(this.handle);
  }

  /**
   * Go on with other pictures, as many as before, such as the same ones at another zoom.
   * @param {ImageBitmap[]} images
   */
  replace(images) {
    this.images = images;
    this.#paint(this.shown % images.length);
  }

  /** End for good. */
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
