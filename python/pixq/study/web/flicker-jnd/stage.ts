/** The canvas on which two pictures alternate, with the points on it. The caller owns the pictures. */

import { Flicker, framesPerImage, HERTZ } from "../../../http/assets/flicker.js";
import { snap, toImage, type Box, type Shown } from "./sizes.ts";

export { HERTZ };

export type Point = [y: number, x: number];

/** Measurements of the alternation, over all its runs. */
export interface Measured {
  rate: number;
  frames_per_image: number;
  achieved: number;
  changes: number;
  late: number;
  /** Late changes: milliseconds since the trial began, and the number of missed refreshes. */
  late_frames: [number, number][];
  pauses: number;
}

const SVG = "http://www.w3.org/2000/svg";

function svg(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

export class Stage {
  readonly root = document.createElement("div");
  readonly canvas = document.createElement("canvas");
  readonly #marks = document.createElementNS(SVG, "svg");
  readonly #flicker: Flicker;
  readonly #size: Shown;
  readonly #width: number;
  readonly #height: number;
  readonly #now: () => number;
  #pair: [ImageBitmap, ImageBitmap];
  #reference = true;
  #held = false;
  #late = 0;
  #sum = { changes: 0, late: 0, pauses: 0, counted: 0, seconds: 0 };
  #lateFrames: [number, number][] = [];

  /**
   * @param reference The picture to show first.
   * @param options.rate Measured refreshes of the display per second.
   * @param options.now Milliseconds since the trial began, for the log.
   */
  constructor(
    reference: ImageBitmap,
    options: { size: Shown; width: number; height: number; hertz?: number; rate: number; now?: () => number },
  ) {
    this.#size = options.size;
    this.#width = options.width;
    this.#height = options.height;
    this.#now = options.now ?? (() => performance.now());
    this.root.className = "fj-stage";
    this.canvas.className = "fj-picture";
    this.canvas.width = options.size.width_device;
    this.canvas.height = options.size.height_device;
    this.#marks.classList.add("fj-marks");
    this.#marks.setAttribute("viewBox", `0 0 ${options.size.width_css} ${options.size.height_css}`);
    this.#marks.setAttribute("aria-hidden", "true");
    for (const each of [this.root, this.canvas, this.#marks]) {
      each.style.width = `${options.size.width_css}px`;
      each.style.height = `${options.size.height_css}px`;
    }
    this.root.append(this.canvas, this.#marks);
    this.#pair = [reference, reference];
    this.#flicker = new Flicker({
      canvas: this.canvas,
      images: this.#pair,
      hertz: options.hertz ?? HERTZ,
      watch: log => this.#watch(log.late),
    });
    this.#flicker.rate = options.rate;
    this.#flicker.replace(this.#pair);
  }

  /** Align the edges with device pixels. Call it once the stage is in the page, and whenever it may have moved. */
  settle(): void {
    // By position, not by a transform: with a transform browsers paint between pixels and resample the picture.
    const { style } = this.root;
    style.left = style.top = "0";
    const box = this.root.getBoundingClientRect();
    const dpr = window.devicePixelRatio || 1;
    style.left = `${snap(box.left, dpr)}px`;
    style.top = `${snap(box.top, dpr)}px`;
  }

  get box(): Box {
    return this.canvas.getBoundingClientRect();
  }

  /** Alternate the reference with this picture; `null` shows the reference alone. */
  show(reference: ImageBitmap, distorted: ImageBitmap | null): void {
    this.#pair = [reference, distorted ?? reference];
    this.#reference = !distorted;
    if (this.#reference) {
      this.#stop();
      this.#flicker.shown = 0;
    }
    this.#flicker.replace(this.#pair);
    this.#go();
  }

  /** Show only the reference until `release`. */
  hold(): void {
    this.#held = true;
    this.#stop();
    this.#flicker.shown = 0;
    this.#flicker.replace(this.#pair);
  }

  release(): void {
    this.#held = false;
    this.settle();
    this.#go();
  }

  get running(): boolean {
    return this.#flicker.running;
  }

  #go(): void {
    if (this.#held || this.#reference) return;
    // While it runs, its log continues, including what is late since the last change.
    if (this.#flicker.running) return;
    this.#late = 0;
    void this.#flicker.start();
  }

  #stop(): void {
    if (this.#flicker.running) {
      const { log } = this.#flicker;
      // Also what came late since the last change, which no event reported.
      this.#watch(log.late);
      this.#sum.changes += log.changes;
      this.#sum.late += log.late;
      this.#sum.pauses += log.pauses;
      if (log.achieved) {
        this.#sum.counted += log.changes - 1;
        this.#sum.seconds += (log.changes - 1) / log.achieved;
      }
    }
    this.#flicker.stop();
  }

  #watch(late: number): void {
    if (late > this.#late) this.#lateFrames.push([Math.round(this.#now()), late - this.#late]);
    this.#late = late;
  }

  /** Stop the alternation. */
  measured(): Measured {
    this.#stop();
    const { changes, late, pauses, counted, seconds } = this.#sum;
    const { rate, hertz } = this.#flicker;
    return {
      rate,
      frames_per_image: framesPerImage(rate, hertz),
      achieved: seconds ? counted / seconds : 0,
      changes,
      late,
      late_frames: this.#lateFrames,
      pauses,
    };
  }

  /** The place of an event, in pixels of the image. */
  at(event: { clientX: number; clientY: number }): Point {
    return toImage(event.clientX, event.clientY, this.box, this.#width, this.#height);
  }

  /**
   * Draw points with their numbers, circles, and the keyboard's cursor; all in pixels of the image.
   */
  mark(points: readonly Point[], more: { cursor?: Point; circles?: readonly { at: Point; radius: Point }[] } = {}): void {
    const down = this.#size.height_css / this.#height;
    const across = this.#size.width_css / this.#width;
    const parts: SVGElement[] = [];
    for (const { at, radius } of more.circles ?? []) {
      const place = { cx: at[1] * across, cy: at[0] * down, rx: radius[1] * across, ry: radius[0] * down };
      parts.push(svg("ellipse", { ...place, class: "fj-circle fj-under" }), svg("ellipse", { ...place, class: "fj-circle" }));
    }
    points.forEach(([y, x], index) => {
      const mark = svg("g", { class: "fj-point", transform: `translate(${x * across} ${y * down})` });
      const number = svg("text", { x: 0, y: 0 });
      number.textContent = String(index + 1);
      mark.append(svg("circle", { r: 11 }), number);
      parts.push(mark);
    });
    if (more.cursor) {
      const cross = "M-16 0H-4M4 0H16M0 -16V-4M0 4V16";
      const cursor = svg("g", { class: "fj-cursor", transform: `translate(${more.cursor[1] * across} ${more.cursor[0] * down})` });
      cursor.append(svg("path", { d: cross, class: "fj-under" }), svg("path", { d: cross }));
      parts.push(cursor);
    }
    this.#marks.replaceChildren(...parts);
  }

  dispose(): void {
    this.#stop();
    this.#flicker.dispose();
  }
}
