/**
 * flicker-jnd: at which strength does a person first notice a change of an image, and where?
 *
 * The reference and the image at the slider's level alternate in place; then the person clicks where it flickers.
 */

import { ParameterType, type JsPsych, type JsPsychPlugin, type TrialType } from "jspsych";

import { fetchImage } from "./pictures.ts";
import { nativeSize, physicalSize, type Shown } from "./sizes.ts";
import { HERTZ } from "./stage.ts";
import { TEXTS } from "./texts.ts";
import { Trial, type Answer } from "./trial.ts";

const info = {
  name: "flicker-jnd",
  version: "1.0.0",
  parameters: {
    /** The reference: an address, or what `load` understands. It is level 0. */
    reference: { type: ParameterType.STRING, default: undefined },
    /** The slider's levels: `[{level: 1, image: "…"}, …]`, each from 1 to 100. */
    levels: { type: ParameterType.OBJECT, array: true, default: undefined },
    /** Width of the images, in their pixels. */
    width: { type: ParameterType.INT, default: undefined },
    /** Height of the images, in their pixels. */
    height: { type: ParameterType.INT, default: undefined },
    /** `physical`: `width_cm` x `height_cm` on the screen; `native`: one image pixel is one device pixel. */
    scaling: { type: ParameterType.SELECT, options: ["physical", "native"], default: "native" },
    /** Width on the screen, in centimetres. */
    width_cm: { type: ParameterType.FLOAT, default: 13.797 },
    /** Height on the screen, in centimetres. */
    height_cm: { type: ParameterType.FLOAT, default: 10.347 },
    /** CSS pixels per centimetre, from a calibration; `physical` needs it. */
    px_per_cm: { type: ParameterType.FLOAT, default: null },
    /** Pictures per second; each stays for a whole number of refreshes. */
    hertz: { type: ParameterType.FLOAT, default: HERTZ },
    /** Points to mark. */
    clicks: { type: ParameterType.INT, default: 3 },
    /** Refreshes of the display per second; null measures them in the trial. */
    rate: { type: ParameterType.FLOAT, default: null },
    /** Number of levels that are loaded before the trial begins. */
    first: { type: ParameterType.INT, default: 8 },
    /** `(image, signal) => Promise<Blob>`: how to load an image; null fetches its address. */
    load: { type: ParameterType.FUNCTION, default: null },
    /** `(image, why) => void`: called for every image that can't be shown. */
    on_broken: { type: ParameterType.FUNCTION, default: null },
    /** Called when all levels are loaded: time to load later images. */
    on_loaded: { type: ParameterType.FUNCTION, default: null },
    /** Texts to use instead of the English ones. */
    texts: { type: ParameterType.OBJECT, default: {} },
  },
  data: {
    /** The level at which the person saw the change. */
    pjnd: { type: ParameterType.INT },
    /** Every position of the slider: `[[milliseconds, level], …]`, from `[0, 0]`. */
    track: { type: ParameterType.COMPLEX, array: true },
    /** The points, `[[y, x], …]` in pixels of the image, in the order they were set. */
    points: { type: ParameterType.COMPLEX, array: true },
    /** Measured refreshes of the display per second. */
    rate: { type: ParameterType.FLOAT },
    /** Planned refreshes per picture. */
    frames_per_image: { type: ParameterType.INT },
    /** Measured pictures per second. */
    achieved: { type: ParameterType.FLOAT },
    /** Number of changes from one picture to the next. */
    changes: { type: ParameterType.INT },
    /** Number of missed refreshes. */
    late: { type: ParameterType.INT },
    /** When refreshes were missed: `[[milliseconds, refreshes], …]`. */
    late_frames: { type: ParameterType.COMPLEX, array: true },
    /** How often the page was not drawn for long. */
    pauses: { type: ParameterType.INT },
    /** Milliseconds from the first picture to the answer, without pauses. */
    shown_ms: { type: ParameterType.INT },
    /** Milliseconds that the trial was paused. */
    paused_ms: { type: ParameterType.INT },
    /** Device pixels per CSS pixel. */
    dpr: { type: ParameterType.FLOAT },
    /** CSS pixels per centimetre, from the parameter. */
    px_per_cm: { type: ParameterType.FLOAT },
    /** Size on the screen, in CSS pixels. */
    width_css: { type: ParameterType.FLOAT },
    height_css: { type: ParameterType.FLOAT },
  },
  citations: {
    apa: "Localization of Just Noticeable Difference for Image Compression. QoMEX 2023.",
  },
} as const;

type Info = typeof info;
type Parameters = Info["parameters"];
/** The parameters as jsPsych passes them to a trial, with the defaults. */
type Given = { [Name in keyof Parameters]: Parameters[Name]["default"] extends null ? TrialType<Info>[Name] | null : Exclude<TrialType<Info>[Name], undefined> };

export type FlickerJndData = Answer & { px_per_cm: number | null };

function sizeOf(trial: Given): Shown {
  const dpr = window.devicePixelRatio || 1;
  if (trial.scaling === "native") return nativeSize(trial.width, trial.height, dpr);
  if (trial.scaling !== "physical") throw new Error(`flicker-jnd: scaling is ${JSON.stringify(trial.scaling)}; give "physical" or "native"`);
  if (!trial.px_per_cm) throw new Error('flicker-jnd: scaling "physical" needs px_per_cm, from a calibration of the screen');
  return physicalSize(trial.width_cm, trial.height_cm, trial.px_per_cm, dpr);
}

export default class FlickerJndPlugin implements JsPsychPlugin<Info> {
  static readonly info = info;
  readonly #jsPsych: JsPsych;

  constructor(jsPsych: JsPsych) {
    this.#jsPsych = jsPsych;
  }

  async trial(display: HTMLElement, given: TrialType<Info>, onLoad: () => void = () => {}): Promise<FlickerJndData> {
    const trial = given as Given;
    const shown = this.#make(display, trial);
    const answer = shown.run();
    onLoad();
    try {
      return { ...(await answer), px_per_cm: trial.px_per_cm ?? null };
    } finally {
      shown.dispose();
    }
  }

  #make(display: HTMLElement, trial: Given): Trial {
    const shown = new Trial({
      reference: trial.reference,
      levels: trial.levels as { level: number; image: string }[],
      width: trial.width,
      height: trial.height,
      size: sizeOf(trial),
      hertz: trial.hertz,
      clicks: trial.clicks,
      rate: trial.rate ?? null,
      first: trial.first,
      load: trial.load ?? fetchImage,
      texts: { ...TEXTS, ...trial.texts },
      onBroken: trial.on_broken ?? (() => {}),
      onLoaded: trial.on_loaded ?? (() => {}),
    });
    display.replaceChildren(shown.root);
    return shown;
  }

  /** `data-only` makes up an answer; `visual` moves the slider and clicks on the page. */
  async simulate(
    given: TrialType<Info>,
    mode: "data-only" | "visual",
    options: { data?: Record<string, unknown> },
    onLoad: () => void = () => {},
  ): Promise<FlickerJndData> {
    const trial = given as Given;
    const wanted = this.#invented(trial, options.data ?? {});
    if (mode === "data-only") {
      onLoad();
      return wanted;
    }
    const answer = this.trial(this.#jsPsych.getDisplayElement(), given, onLoad);
    void this.#use(trial, wanted);
    return answer;
  }

  #invented(trial: Given, given: Record<string, unknown>): FlickerJndData {
    const random = this.#jsPsych.randomization;
    const levels = (trial.levels as { level: number }[]).map(each => each.level).filter(level => level > 0);
    levels.sort((a, b) => a - b);
    const pjnd = (given.pjnd as number | undefined) ?? levels[random.randomInt(0, levels.length - 1)] ?? 0;
    const passed = levels.filter(level => level <= pjnd);
    const track: [number, number][] = [[0, 0], ...passed.map((level, index): [number, number] => [800 + 200 * index, level])];
    const place = (most: number) => random.randomInt(0, most - 1) + 0.5;
    const rate = trial.rate ?? 60;
    const frames = Math.max(1, Math.floor(rate / trial.hertz + 0.6));
    const shown_ms = 800 + 200 * passed.length + 1000 * trial.clicks;
    const size = sizeOf(trial);
    return {
      pjnd,
      track,
      points: Array.from({ length: trial.clicks }, (): [number, number] => [place(trial.height), place(trial.width)]),
      rate,
      frames_per_image: frames,
      achieved: rate / frames,
      changes: Math.round(((shown_ms / 1000) * rate) / frames),
      late: 0,
      late_frames: [],
      pauses: 0,
      shown_ms,
      paused_ms: 0,
      dpr: window.devicePixelRatio || 1,
      px_per_cm: trial.px_per_cm ?? null,
      width_css: size.width_css,
      height_css: size.height_css,
      ...given,
    };
  }

  async #use(trial: Given, wanted: FlickerJndData): Promise<void> {
    const display = this.#jsPsych.getDisplayElement();
    const find = async <T extends Element>(selector: string): Promise<T> => {
      for (;;) {
        const found = display.querySelector<T>(selector);
        if (found) return found;
        await new Promise(done => setTimeout(done, 20));
      }
    };
    const slider = await find<HTMLInputElement>(".fj-phase:not([hidden]) .fj-slider");
    const levels = (trial.levels as { level: number }[]).map(each => each.level).filter(level => level > 0).sort((a, b) => a - b);
    for (let position = 1; position <= Math.max(1, levels.indexOf(wanted.pjnd) + 1); position++) {
      slider.value = String(position);
      slider.dispatchEvent(new Event("input"));
      await new Promise(done => setTimeout(done, 20));
    }
    (await find<HTMLButtonElement>(".fj-phase:not([hidden]) .fj-main:enabled")).click();
    const stage = await find<HTMLElement>(".fj-stage.fj-aim");
    for (const [y, x] of wanted.points) {
      const box = stage.getBoundingClientRect();
      const clientX = box.left + (x / trial.width) * box.width;
      const clientY = box.top + (y / trial.height) * box.height;
      stage.dispatchEvent(new MouseEvent("click", { clientX, clientY, bubbles: true }));
      await new Promise(done => setTimeout(done, 20));
    }
    (await find<HTMLButtonElement>(".fj-phase:not([hidden]) .fj-main:enabled")).click();
  }
}
