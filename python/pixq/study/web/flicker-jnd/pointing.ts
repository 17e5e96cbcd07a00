/** The points that a person sets in the picture: by clicking, or with a cross that the keyboard moves. */

import { element } from "./dom.ts";
import type { Point, Stage } from "./stage.ts";
import type { Say } from "./texts.ts";

/** Step of the keyboard's cross in CSS pixels; with Shift it is one pixel of the image. */
const STEP = 12;

export interface PointingOptions {
  width: number;
  height: number;
  clicks: number;
  say: Say;
  /** Whether points can be set now; the cross moves even while the trial is paused. */
  marking: () => boolean;
  paused: () => boolean;
  /** Called when a point or the cross changed. */
  onChange: () => void;
}

export class Pointing {
  /** What was done last, for screen readers. */
  readonly said = element("p", "fj-said");
  readonly #options: PointingOptions;
  #stage: Stage | null = null;
  #points: Point[] = [];
  #cursor: Point | null = null;

  constructor(options: PointingOptions) {
    this.#options = options;
    this.said.setAttribute("aria-live", "polite");
  }

  get points(): readonly Point[] {
    return this.#points;
  }

  /** The number of points still to be set. */
  get left(): number {
    return this.#options.clicks - this.#points.length;
  }

  get #middle(): Point {
    return [this.#options.height / 2, this.#options.width / 2];
  }

  clear(): void {
    this.#points = [];
    this.#cursor = null;
    this.said.textContent = "";
  }

  /** Draw the points, and the cross while points are missing. */
  draw(): void {
    const marking = this.#options.marking() && this.left > 0;
    this.#stage?.root.classList.toggle("fj-aim", marking);
    this.#stage?.mark(this.#points, marking && this.#cursor ? { cursor: this.#cursor } : {});
  }

  takeBack(): void {
    if (!this.#options.marking() || !this.#points.length) return;
    this.said.textContent = this.#options.say("undone", { number: this.#points.length });
    this.#points.pop();
    this.#options.onChange();
    this.#stage?.root.focus({ preventScroll: true });
  }

  #set(point: Point): void {
    if (!this.#options.marking() || this.#options.paused() || this.left <= 0) return;
    this.#points.push(point);
    this.#tell("marked", point, this.#points.length);
    this.#options.onChange();
  }

  #tell(key: "marked" | "cursor", [y, x]: Point, number = 0): void {
    const { width, height, say } = this.#options;
    const share = (part: number, whole: number) => Math.round((100 * part) / whole);
    this.said.textContent = say(key, { number, x: share(x, width), y: share(y, height) });
  }

  /** Listen to the mouse and the keys of the picture, and to Backspace in `root`. */
  listen(root: HTMLElement, stage: Stage): void {
    this.#stage = stage;
    stage.root.addEventListener("click", event => {
      this.#cursor = null;
      this.#set(stage.at(event));
    });
    root.addEventListener("keydown", event => {
      if (!this.#options.marking() || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "Backspace") this.takeBack();
      else if (event.target !== stage.root || !this.#key(event, stage)) return;
      event.preventDefault();
    });
    stage.root.addEventListener("focus", () => {
      // The cross appears only for the keyboard.
      if (!this.#options.marking() || !stage.root.matches(":focus-visible")) return;
      this.#cursor ??= this.#points.at(-1) ?? this.#middle;
      this.#options.onChange();
    });
  }

  #key(event: KeyboardEvent, stage: Stage): boolean {
    const { width, height } = this.#options;
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
    if (down || right) {
      const step = event.shiftKey ? 1 : (STEP * width) / stage.box.width;
      const [y, x] = this.#cursor ?? this.#points.at(-1) ?? this.#middle;
      this.#cursor = [
        Math.min(Math.max(y + down * step, 0), height),
        Math.min(Math.max(x + right * step, 0), width),
      ];
      this.#tell("cursor", this.#cursor);
      this.#options.onChange();
    } else if (event.key === "Enter" || event.key === " ") {
      if (!event.repeat) this.#set(this.#cursor ?? this.#middle);
    } else return false;
    return true;
  }
}
