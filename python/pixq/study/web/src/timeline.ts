/** The steps of a session as jsPsych runs them: everything up to the next image, the image, and saving its answer. */

import { ParameterType, type JsPsych, type JsPsychPlugin } from "jspsych";

import constants from "../../constants.json" with { type: "json" };
import { measureRate } from "../../../http/assets/flicker.js";
import FlickerJnd, { type FlickerJndData } from "../flicker-jnd/index.ts";
import { show, sizeOf, type App } from "./app.ts";
import { calibration } from "./calibration.ts";
import { consent } from "./consent.ts";
import { displayCheck } from "./display_check.ts";
import { button, el } from "./dom.ts";
import { feedback } from "./feedback.ts";
import { instructions } from "./instructions.ts";
import type { Prefetch } from "./prefetch.ts";
import type { State, TrialSpec } from "./protocol.ts";
import { survey } from "./survey.ts";

const stepInfo = {
  name: "pixq-step",
  version: "1.0.0",
  parameters: { run: { type: ParameterType.FUNCTION, default: undefined } },
  data: {},
} as const;

/** A jsPsych trial that runs one function. */
class Step implements JsPsychPlugin<typeof stepInfo> {
  static readonly info = stepInfo;
  readonly #jsPsych: JsPsych;

  constructor(jsPsych: JsPsych) {
    this.#jsPsych = jsPsych;
  }

  async trial(_display: HTMLElement, trial: { run: (display: HTMLElement) => Promise<void> }): Promise<void> {
    await trial.run(this.#jsPsych.getDisplayElement());
  }
}

/** Whether the session has ended. */
function isOver({ step }: State): boolean {
  return constants.steps[step] === "ended";
}

/** Whether the step shows images, so that the screen must stay as it was measured. */
function showsImages({ step }: State): boolean {
  return step === "instructions" || step === "training" || step === "trial";
}

function showProgress(app: App): void {
  const { step, index, of } = app.session.state;
  const progress = document.getElementById("progress") as HTMLElement;
  progress.hidden = step !== "training" && step !== "trial";
  if (progress.hidden) return;
  const text = app.language.say(step === "training" ? "progress_training" : "progress", { index: index + 1, of });
  const bar = el("progress", { max: of, value: index });
  bar.setAttribute("aria-hidden", "true");
  progress.replaceChildren(el("span", {}, text), bar);
}

/** Say that the images don't fit into the window, and let the person measure the screen again. */
async function reportTooLarge(app: App, display: HTMLElement, size: { width_css: number; height_css: number }): Promise<void> {
  const { language, session } = app;
  session.log("error", { what: "the images are larger than the window", ...size, inner: [window.innerWidth, window.innerHeight] });
  await new Promise<void>(resolve => {
    show(display, el("div", { class: "sheet" },
      el("h1", {}, language.say("too_large_title")), el("p", { class: "lead" }, language.say("too_large_text")),
      el("p", { class: "actions" }, button(language.say("cover_measure_button"), resolve, true))));
  });
  app.calibration = null;
}

/** Show the step that the session is at, and wait until it is done. @returns Whether it is an image, which is not shown here. */
async function showStep(app: App, display: HTMLElement): Promise<boolean> {
  const { state } = app.session;
  if (showsImages(state) && !app.calibration) await calibration(app, display);
  else if (state.step === "consent") await consent(app, display);
  else if (state.step === "check") await displayCheck(app, display);
  else if (state.step === "calibration") await calibration(app, display);
  else if (state.step === "instructions") await instructions(app, display);
  else if (state.step === "survey") await survey(app, display);
  else if (state.trial) {
    const size = sizeOf(app, state.trial.width, state.trial.height);
    if (size.width_css <= window.innerWidth && size.height_css <= window.innerHeight) return true;
    await reportTooLarge(app, display, size);
  } else throw new Error(`the server sent the step ${state.step} without an image`);
  return false;
}

/** Show everything that comes before the next image, or before the end of the session. */
async function untilTrial(app: App, display: HTMLElement, afterReload: boolean): Promise<void> {
  // After a reload the page can't know whether the feedback was read: it is shown again.
  let showAgain = afterReload;
  for (;;) {
    const { state } = app.session;
    // Until the feedback on a practice image is read, it is that image's turn.
    if (!state.feedback || !app.answered) showProgress(app);
    // After a reload the display may be another one.
    if (!app.rate && !isOver(state) && state.step !== "consent") app.rate = await measureRate();
    app.watch.expect(showsImages(state) && app.calibration ? app.calibration.environment : null);
    if (state.feedback && (app.answered || showAgain)) {
      showAgain = false;
      await feedback(app, display, state.feedback);
      app.answered = null;
      continue;
    }
    app.answered = null;
    if (isOver(state) || (await showStep(app, display))) return;
  }
}

/** The parameters of `flicker-jnd` for the image that `spec` gives. */
function flickerTrial(app: App, prefetch: Prefetch, spec: () => TrialSpec) {
  const { session } = app;
  const { scaling, width_cm, height_cm, hertz } = session.study;
  return {
    type: FlickerJnd,
    reference: () => spec().reference,
    levels: () => spec().levels,
    width: () => spec().width,
    height: () => spec().height,
    clicks: () => spec().clicks,
    scaling,
    width_cm,
    height_cm,
    px_per_cm: () => app.calibration?.px_per_cm ?? null,
    hertz,
    rate: () => app.rate,
    load: app.load,
    on_broken: (image: string, why: string) => session.log("error", { key: spec().key, image, why }),
    on_loaded: () => void prefetch.fetch(spec().preload),
    texts: () => app.language.trial,
    on_load: () => {
      if (app.watch.blocked) document.dispatchEvent(new CustomEvent("flicker-jnd:pause"));
    },
    on_finish: (data: FlickerJndData) => {
      const { key, kind } = spec();
      const { frames, answer } = split(data);
      app.answered = { spec: spec(), pjnd: data.pjnd, points: data.points };
      session.log("frames", { key, ...frames });
      session.log(kind, { key, ...answer });
    },
  };
}

/** Which of a trial's data the event `frames` holds. The answer holds the others, so a new one is sent without a change here. */
const FRAMES = new Set(["changes", "late_frames", "pauses", "paused_ms"]);

/** A trial's data, without what jsPsych adds to it, as the two events hold them. */
function split(data: FlickerJndData) {
  const measured = Object.keys(FlickerJnd.info.data).map(name => [name, data[name as keyof FlickerJndData]] as const);
  return {
    frames: Object.fromEntries(measured.filter(([name]) => FRAMES.has(name))),
    answer: Object.fromEntries(measured.filter(([name]) => !FRAMES.has(name))),
  };
}

/** What jsPsych runs, from the step that the session is at to its end. */
export function timeline(app: App, prefetch: Prefetch) {
  const { session } = app;
  let afterReload = true;
  // The image that is shown now: the server's state may change meanwhile, where another page answers.
  let current: TrialSpec | null = null;
  const spec = () => {
    if (!current) throw new Error("there is no image to show");
    return current;
  };
  const before = async (display: HTMLElement): Promise<void> => {
    // jsPsych would have the Tab key stop at the whole page.
    display.closest("main")?.setAttribute("tabindex", "-1");
    const first = afterReload;
    afterReload = false;
    await untilTrial(app, display, first);
    current = isOver(session.state) ? null : (session.state.trial ?? null);
  };
  const save = async (display: HTMLElement): Promise<void> => {
    show(display, el("p", { class: "saving", role: "status" }, app.language.say("saving")));
    await session.confirmed();
  };
  return [{
    timeline: [
      { type: Step, run: before },
      {
        timeline: [flickerTrial(app, prefetch, spec), { type: Step, run: save }],
        conditional_function: () => current !== null,
      },
    ],
    loop_function: () => !isOver(session.state),
  }];
}
