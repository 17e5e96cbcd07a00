/** One trial: the slider, then the points; and all that is logged of it. */

import { Broken, Pictures, type Load } from "./pictures.ts";
import { measureRate } from "../../../serve/page/flicker.js";
import { Stage, type Measured, type Point } from "./stage.ts";
import { fill, type Texts } from "./texts.ts";
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
  /** All of the images are there. */
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

/** Steps of the keyboard's cross, in CSS pixels; with Shift one pixel of the image. */
const STEP = 12;

function element<K extends keyof HTMLElementTagNameMap>(name: K, className = "", text = ""): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

let ids = 0;

export class Trial {
  readonly root = element("div", "fj");
  readonly #options: TrialOptions;
  readonly #levels: { level: number; image: string }[];
  readonly #pictures: Pictures;
  readonly #surround = element("div", "fj-surround");
  readonly #message = element("div", "fj-message");
  readonly #controls = element("div", "fj-controls");
  readonly #said = element("p", "fj-said");
  readonly #slider = element("input", "fj-slider");
  readonly #value = element("output", "fj-value");
  readonly #find = element("div", "fj-phase");
  readonly #found = element("button", "fj-button fj-main");
  readonly #hint = element("p", "fj-hint");
  readonly #mark = element("div", "fj-phase");
  readonly #left = element("p", "fj-hint");
  readonly #undo = element("button", "fj-button");
  readonly #back = element("button", "fj-button");
  readonly #next = element("button", "fj-button fj-main");
  #stage: Stage | null = null;
  #position = 0;
  #shown = 0;
  #asked = 0;
  #moved = false;
  #phase: "load" | "find" | "mark" | "done" = "load";
  #points: Point[] = [];
  #cursor: Point | null = null;
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
      onProgress: (loaded, needed) => this.#progress(loaded, needed),
      onBroken: options.onBroken,
      onLoaded: options.onLoaded,
    });
    this.#build();
  }

  #text(key: keyof Texts, values: Record<string, string | number> = {}): string {
    return fill(this.#options.texts[key], values);
  }

  #build(): void {
    const { size, clicks } = this.#options;
    const id = `fj-${++ids}`;
    this.root.style.setProperty("--fj-width", `${size.width_css}px`);
    this.root.style.setProperty("--fj-height", `${size.height_css}px`);
    this.#message.setAttribute("role", "status");
    this.#surround.append(this.#message);
    this.#said.setAttribute("aria-live", "polite");

    const label = element("label", "fj-label", this.#text("level"));
    label.htmlFor = id;
    Object.assign(this.#slider, { id, type: "range", min: "0", max: String(this.#levels.length), step: "1", value: "0" });
    this.#value.htmlFor.add(id);
    this.#slider.addEventListener("input", () => this.#move(Number(this.#slider.value)));
    this.#found.textContent = this.#text("found");
    this.#found.addEventListener("click", () => this.#toMark());
    this.#find.append(element("p", "fj-task", this.#text("find")), label, this.#value, this.#slider, this.#found, this.#hint);

    this.#undo.textContent = this.#text("undo");
    this.#back.textContent = this.#text("back");
    this.#next.textContent = this.#text("next");
    this.#undo.addEventListener("click", () => this.#takeBack());
    this.#back.addEventListener("click", () => this.#toFind());
    this.#next.addEventListener("click", () => this.#done());
    this.#left.setAttribute("role", "status");
    const buttons = element("div", "fj-buttons");
    buttons.append(this.#undo, this.#back);
    this.#mark.append(
      element("p", "fj-task", this.#text("click", { clicks })),
      this.#left,
      this.#next,
      buttons,
      element("p", "fj-keys", this.#text("click_keys")),
    );
    for (const button of [this.#found, this.#undo, this.#back, this.#next]) button.type = "button";
    this.#controls.append(this.#find, this.#mark, this.#said);
    this.#find.hidden = this.#mark.hidden = true;
    this.root.append(this.#surround, this.#controls);
  }

  /** Milliseconds of this trial, without pauses. */
  #now(): number {
    if (!this.#began) return 0;
    return (this.#pausedAt ?? performance.now()) - this.#began - this.#pausedMs;
  }

  /** Show it, and wait for the answer. It must be in the page. */
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
    this.#listen(this.#stage);
    this.#message.replaceChildren();
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

  /** Nothing flickers, nothing can be set and no time passes until `resume`, for each of the reasons. */
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

  #progress(loaded: number, needed: number): void {
    const bar = element("progress", "fj-progress");
    bar.max = needed;
    bar.value = loaded;
    bar.setAttribute("aria-label", this.#text("loading"));
    const count = element("p", "fj-count", this.#text("loading_of", { loaded, needed }));
    this.#message.replaceChildren(element("p", "", this.#text("loading")), bar, count);
  }

  /** Do it again, each time that a person asks for it, until the pictures are there. */
  async #insist<T>(job: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await job();
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        await this.#complain(error.message);
      }
    }
  }

  #complain(why: string): Promise<void> {
    return new Promise(resolve => {
      const again = element("button", "fj-button fj-main", this.#text("retry"));
      again.type = "button";
      again.addEventListener("click", () => {
        this.#message.replaceChildren();
        this.#pictures.retry();
        resolve();
      });
      const what = element("p", "fj-broken", this.#text("broken"));
      this.#message.replaceChildren(what, element("p", "fj-count", why), again);
    });
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

  /** The picture of the slider's level, once it is there; what was asked for before does not come any more. */
  async #showLevel(): Promise<void> {
    const stage = this.#stage;
    const reference = this.#pictures.peek(0);
    // The reference is decoded before there is a stage, and stays.
    if (!stage || !reference) return;
    const asked = ++this.#asked;
    const position = this.#position;
    let picture = this.#pictures.peek(position);
    if (!picture) {
      // Never another level than the slider's: the reference stays until this one is there.
      stage.show(reference, null);
      this.#message.replaceChildren(element("p", "", this.#text("waiting")));
      this.#refresh();
      picture = await this.#insist(() => {
        if (asked !== this.#asked) return Promise.resolve(undefined);
        return this.#pictures.get(position);
      });
    } else void this.#pictures.get(position);
    if (asked !== this.#asked || !picture) return;
    this.#message.replaceChildren();
    this.#shown = this.#pictures.shown = position;
    stage.show(reference, position === 0 ? null : picture);
    this.#refresh();
  }

  /** Everything that follows from where we are. */
  #refresh(): void {
    const { clicks } = this.#options;
    const level = this.#levelAt(this.#position);
    const text = level ? this.#text("level_value", { level }) : this.#text("level_zero");
    this.#value.textContent = String(level);
    this.#slider.setAttribute("aria-valuetext", text);
    this.#slider.style.setProperty("--fj-share", String(this.#levels.length ? this.#position / this.#levels.length : 0));
    const ready = this.#moved && level > 0 && this.#shown === this.#position;
    this.#found.disabled = !ready;
    this.#hint.textContent = !this.#moved ? this.#text("move_first") : level ? "" : this.#text("not_zero");
    const left = clicks - this.#points.length;
    this.#left.textContent = left ? this.#text("left", { left }) : this.#text("all_marked");
    this.#next.disabled = left > 0;
    this.#undo.disabled = !this.#points.length;
    const marking = this.#phase === "mark";
    this.#stage?.root.classList.toggle("fj-aim", marking && left > 0);
    this.#stage?.mark(this.#points, marking && this.#cursor && left ? { cursor: this.#cursor } : {});
  }

  #toFind(): void {
    if (this.#phase === "done") return;
    this.#phase = "find";
    this.#points = [];
    this.#cursor = null;
    this.#find.hidden = false;
    this.#mark.hidden = true;
    const picture = this.#stage?.root;
    picture?.setAttribute("role", "img");
    picture?.setAttribute("aria-label", this.#text("picture_plain"));
    picture?.removeAttribute("tabindex");
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
    picture?.setAttribute("aria-label", this.#text("picture"));
    picture?.setAttribute("tabindex", "0");
    this.#refresh();
    picture?.focus({ preventScroll: true });
  }

  #set(point: Point): void {
    if (this.#phase !== "mark" || this.#pausedAt !== null || this.#points.length >= this.#options.clicks) return;
    this.#points.push(point);
    this.#say("marked", point, this.#points.length);
    this.#refresh();
    if (this.#points.length === this.#options.clicks) this.#next.focus({ preventScroll: true });
  }

  #takeBack(): void {
    if (this.#phase !== "mark" || !this.#points.length) return;
    this.#said.textContent = this.#text("undone", { number: this.#points.length });
    this.#points.pop();
    this.#refresh();
    this.#stage?.root.focus({ preventScroll: true });
  }

  #say(key: "marked" | "cursor", [y, x]: Point, number = 0): void {
    const { width, height } = this.#options;
    const share = (part: number, whole: number) => Math.round((100 * part) / whole);
    this.#said.textContent = this.#text(key, { number, x: share(x, width), y: share(y, height) });
  }

  #listen(stage: Stage): void {
    const { width, height } = this.#options;
    stage.root.addEventListener("click", event => {
      this.#cursor = null;
      this.#set(stage.at(event));
    });
    this.root.addEventListener("keydown", event => {
      if (this.#phase !== "mark" || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "Backspace") {
        this.#takeBack();
        event.preventDefault();
        return;
      }
      if (event.target !== stage.root) return;
      const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
      if (down || right) {
        const step = event.shiftKey ? 1 : (STEP * width) / stage.box.width;
        const [y, x] = this.#cursor ?? this.#points.at(-1) ?? [height / 2, width / 2];
        this.#cursor = [
          Math.min(Math.max(y + down * step, 0), height),
          Math.min(Math.max(x + right * step, 0), width),
        ];
        this.#say("cursor", this.#cursor);
      } else if (event.key === "Enter" || event.key === " ") {
        if (!event.repeat) this.#set(this.#cursor ?? [height / 2, width / 2]);
      } else return;
      event.preventDefault();
      this.#refresh();
    });
    stage.root.addEventListener("focus", () => {
      // The cross is for those who come by the keyboard.
      if (this.#phase === "mark" && stage.root.matches(":focus-visible")) {
        this.#cursor ??= this.#points.at(-1) ?? [height / 2, width / 2];
        this.#refresh();
      }
    });
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
      points: this.#points,
      ...stage.measured(),
      shown_ms: shown,
      paused_ms: Math.round(this.#pausedMs),
      dpr: window.devicePixelRatio || 1,
      width_css: size.width_css,
      height_css: size.height_css,
    });
  }
}
