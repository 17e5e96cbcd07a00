/** One trial: the slider, then the points, and everything that is logged about it. */

import { button, element } from "./dom.ts";
import { Notice } from "./notice.ts";
import { Broken, Pictures, type Load } from "./pictures.ts";
import { Pointing } from "./pointing.ts";
import { measureRate } from "../../../http/assets/flicker.js";
import { Stage, type Measured, type Point } from "./stage.ts";
import { fill, type Say, type Texts } from "./texts.ts";
import type { Shown } from "./sizes.ts";

export interface TrialOptions {
  reference: string;
  levels: readonly { level: number; image: string }[];
  width: number;
  height: number;
  size: Shown;
  hertz: number;
  clicks: number;
  rate: number | null;
  first: number;
  load: Load;
  texts: Texts;
  onBroken: (image: string, why: string) => void;
  /** Called when all images are loaded. */
  onLoaded: () => void;
}

export interface Answer extends Measured {
  pjnd: number;
  track: [ms: number, level: number][];
  points: Point[];
  shown_ms: number;
  paused_ms: number;
  dpr: number;
  width_css: number;
  height_css: number;
}

let ids = 0;

export class Trial {
  readonly root = element("div", "fj");
  readonly #options: TrialOptions;
  readonly #levels: { level: number; image: string }[];
  readonly #pictures: Pictures;
  readonly #surround = element("div", "fj-surround");
  readonly #say: Say = (key, values = {}) => fill(this.#options.texts[key], values);
  readonly #notice = new Notice(this.#say);
  readonly #pointing: Pointing;
  readonly #controls = element("div", "fj-controls");
  readonly #slider = element("input", "fj-slider");
  readonly #value = element("output", "fj-value");
  readonly #find = element("div", "fj-phase");
  readonly #found: HTMLButtonElement;
  readonly #hint = element("p", "fj-hint");
  readonly #mark = element("div", "fj-phase");
  readonly #left = element("p", "fj-hint");
  readonly #undo: HTMLButtonElement;
  readonly #back: HTMLButtonElement;
  readonly #next: HTMLButtonElement;
  /** The ids of the picture's instructions. */
  #told = "";
  #stage: Stage | null = null;
  #position = 0;
  #shown = 0;
  #asked = 0;
  #moved = false;
  #phase: "load" | "find" | "mark" | "done" = "load";
  #track: [number, number][] = [];
  #began = 0;
  #pausedAt: number | null = null;
  readonly #reasons = new Set<string>();
  readonly #end = new AbortController();
  #pausedMs = 0;
  #finish: (answer: Answer) => void = () => {};

  constructor(options: TrialOptions) {
    this.#options = options;
    this.#levels = [...options.levels].filter(each => each.level > 0).sort((a, b) => a.level - b.level);
    this.#pictures = new Pictures({
      images: [options.reference, ...this.#levels.map(each => each.image)],
      load: options.load,
      width: options.width,
      height: options.height,
      size: options.size,
      first: options.first,
      onProgress: (loaded, needed) => this.#notice.progress(loaded, needed),
      onBroken: options.onBroken,
      onLoaded: options.onLoaded,
    });
    const { width, height, clicks } = options;
    this.#pointing = new Pointing({
      width,
      height,
      clicks,
      say: this.#say,
      marking: () => this.#phase === "mark",
      paused: () => this.#pausedAt !== null,
      onChange: () => this.#marked(),
    });
    this.#found = button(this.#say("found"), () => this.#toMark(), "fj-button fj-main");
    this.#undo = button(this.#say("undo"), () => this.#pointing.takeBack());
    this.#back = button(this.#say("back"), () => this.#toFind());
    this.#next = button(this.#say("next"), () => this.#done(), "fj-button fj-main");
    this.#build();
  }

  #build(): void {
    const { size, clicks } = this.#options;
    const id = `fj-${++ids}`;
    this.root.style.setProperty("--fj-width", `${size.width_css}px`);
    this.root.style.setProperty("--fj-height", `${size.height_css}px`);
    this.#surround.append(this.#notice.root);

    const label = element("label", "fj-label", this.#say("level"));
    label.htmlFor = id;
    Object.assign(this.#slider, { id, type: "range", min: "0", max: String(this.#levels.length), step: "1", value: "0" });
    this.#value.htmlFor.add(id);
    this.#slider.addEventListener("input", () => this.#move(Number(this.#slider.value)));
    this.#hint.id = `${id}-hint`;
    this.#hint.setAttribute("role", "status");
    this.#left.id = `${id}-left`;
    const find = element("p", "fj-task", this.#say("find"));
    const click = element("p", "fj-task", this.#say("click", { clicks }));
    [find.id, click.id] = [`${id}-find`, `${id}-click`];
    this.#slider.setAttribute("aria-describedby", find.id);
    this.#found.setAttribute("aria-describedby", this.#hint.id);
    this.#next.setAttribute("aria-describedby", this.#left.id);
    this.#told = `${click.id} ${this.#left.id}`;
    this.#find.append(find, label, this.#value, this.#slider, this.#found, this.#hint);

    this.#left.setAttribute("role", "status");
    const buttons = element("div", "fj-buttons");
    buttons.append(this.#undo, this.#back);
    this.#mark.append(
      click,
      this.#left,
      this.#next,
      buttons,
      element("p", "fj-keys", this.#say("click_keys")),
    );
    this.#controls.append(this.#find, this.#mark, this.#pointing.said);
    this.#find.hidden = this.#mark.hidden = true;
    this.root.append(this.#surround, this.#controls);
  }

  /** Milliseconds of this trial, without pauses. */
  #now(): number {
    if (!this.#began) return 0;
    return (this.#pausedAt ?? performance.now()) - this.#began - this.#pausedMs;
  }

  /** Show the trial, which must be in the page, and wait for the answer. */
  async run(): Promise<Answer> {
    const { signal } = this.#end;
    document.addEventListener("flicker-jnd:pause", () => this.pause(), { signal });
    document.addEventListener("flicker-jnd:resume", () => this.resume(), { signal });
    const look = () => (document.hidden ? this.pause("hidden") : this.resume("hidden"));
    document.addEventListener("visibilitychange", look, { signal });
    look();
    const answer = new Promise<Answer>(resolve => (this.#finish = resolve));
    const [rate] = await Promise.all([
      this.#options.rate ?? measureRate(window, signal),
      this.#insist(() => this.#pictures.ready()),
    ]);
    const reference = await this.#pictures.get(0);
    const { size, width, height, hertz } = this.#options;
    this.#stage = new Stage(reference, { size, width, height, hertz, rate, now: () => this.#now() });
    this.#pointing.listen(this.root, this.#stage);
    this.#notice.clear();
    this.#surround.append(this.#stage.root);
    this.#stage.settle();
    this.#began = performance.now();
    if (this.#pausedAt !== null) {
      this.#pausedAt = this.#began;
      this.#stage.hold();
    }
    this.#track = [[0, 0]];
    this.#toFind();
    return answer;
  }

  /** Stop the flicker, the input and the clock until `resume` was called for every reason. */
  pause(reason = "asked"): void {
    this.#reasons.add(reason);
    if (this.#pausedAt !== null) return;
    this.#pausedAt = performance.now();
    this.#stage?.hold();
  }

  resume(reason = "asked"): void {
    this.#reasons.delete(reason);
    if (this.#pausedAt === null || this.#reasons.size) return;
    if (this.#began) this.#pausedMs += performance.now() - this.#pausedAt;
    this.#pausedAt = null;
    this.#stage?.release();
  }

  dispose(): void {
    this.#end.abort();
    this.#stage?.dispose();
    this.#pictures.dispose();
  }

  /** Try until the pictures are there, again each time the person asks for it. */
  async #insist<T>(job: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await job();
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        await this.#notice.broken(error.message);
        this.#pictures.retry();
      }
    }
  }

  #levelAt(position: number): number {
    return position === 0 ? 0 : (this.#levels[position - 1]?.level ?? 0);
  }

  #move(position: number): void {
    if (position === this.#position) return;
    this.#position = position;
    this.#moved = true;
    this.#track.push([Math.round(this.#now()), this.#levelAt(position)]);
    void this.#showLevel();
    this.#refresh();
  }

  /** Show the picture of the slider's level once it is there; earlier requests are dropped. */
  async #showLevel(): Promise<void> {
    const stage = this.#stage;
    const reference = this.#pictures.peek(0);
    // The reference is decoded before the stage exists, and stays.
    if (!stage || !reference) return;
    const asked = ++this.#asked;
    const position = this.#position;
    let picture = this.#pictures.peek(position);
    if (!picture) {
      // Never show another level than the slider's: until it is there, the reference stays.
      stage.show(reference, null);
      this.#notice.waiting();
      this.#refresh();
      picture = await this.#insist(() => {
        if (asked !== this.#asked) return Promise.resolve(undefined);
        return this.#pictures.get(position);
      });
    } else void this.#pictures.get(position);
    if (asked !== this.#asked || !picture) return;
    this.#notice.clear();
    this.#shown = this.#pictures.shown = position;
    stage.show(reference, position === 0 ? null : picture);
    this.#refresh();
  }

  /** Update everything that depends on the phase, the slider and the points. */
  #refresh(): void {
    const level = this.#levelAt(this.#position);
    const text = level ? this.#say("level_value", { level }) : this.#say("level_zero");
    this.#value.textContent = String(level);
    this.#slider.setAttribute("aria-valuetext", text);
    const ready = this.#moved && level > 0 && this.#shown === this.#position;
    this.#found.disabled = !ready;
    const hint = !this.#moved ? this.#say("move_first") : level ? "" : this.#say("not_zero");
    if (this.#hint.textContent !== hint) this.#hint.textContent = hint;
    const { left, points } = this.#pointing;
    const marks = left ? this.#say("left", { left }) : this.#say("all_marked");
    // A screen reader would read a live region again if the same text were set again.
    if (this.#left.textContent !== marks) this.#left.textContent = marks;
    this.#next.disabled = left > 0;
    this.#undo.disabled = !points.length;
    this.#pointing.draw();
  }

  #toFind(): void {
    if (this.#phase === "done") return;
    this.#phase = "find";
    this.#pointing.clear();
    this.#find.hidden = false;
    this.#mark.hidden = true;
    const picture = this.#stage?.root;
    picture?.setAttribute("role", "img");
    picture?.setAttribute("aria-label", this.#say("picture_plain"));
    picture?.removeAttribute("tabindex");
    picture?.removeAttribute("aria-describedby");
    this.#refresh();
    this.#slider.focus({ preventScroll: true });
  }

  #toMark(): void {
    if (this.#found.disabled) return;
    this.#phase = "mark";
    this.#find.hidden = true;
    this.#mark.hidden = false;
    const picture = this.#stage?.root;
    picture?.setAttribute("role", "application");
    picture?.setAttribute("aria-label", this.#say("picture"));
    picture?.setAttribute("tabindex", "0");
    picture?.setAttribute("aria-describedby", this.#told);
    this.#refresh();
    picture?.focus({ preventScroll: true });
  }

  /** A point or the cross changed. */
  #marked(): void {
    const { disabled } = this.#next;
    this.#refresh();
    if (disabled && !this.#next.disabled) this.#next.focus({ preventScroll: true });
  }

  #done(): void {
    const stage = this.#stage;
    if (this.#next.disabled || !stage || this.#phase !== "mark") return;
    this.#phase = "done";
    const shown = Math.round(this.#now());
    const { size } = this.#options;
    this.#finish({
      pjnd: this.#levelAt(this.#shown),
      track: this.#track,
      points: [...this.#pointing.points],
      ...stage.measured(),
      shown_ms: shown,
      paused_ms: Math.round(this.#pausedMs),
      dpr: window.devicePixelRatio || 1,
      width_css: size.width_css,
      height_css: size.height_css,
    });
  }
}
