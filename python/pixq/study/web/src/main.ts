/** The page of a study: its `Api` says what is next, and jsPsych shows it. */

import { initJsPsych, ParameterType, type JsPsych, type JsPsychPlugin } from "jspsych";

import { measureRate } from "../../../http/assets/flicker.js";
import FlickerJnd, { type FlickerJndData } from "../flicker-jnd/index.ts";
import type { Api } from "./api.ts";
import { show, sizeOf, type App } from "./app.ts";
import { calibration } from "./calibration.ts";
import { check } from "./check.ts";
import { consent } from "./consent.ts";
import { another } from "./another.ts";
import { button, el } from "./dom.ts";
import { feedback } from "./feedback.ts";
import { instructions } from "./instructions.ts";
import type { State, TrialSpec } from "./protocol.ts";
import type { Refused } from "./queue.ts";
import { Session } from "./session.ts";
import { survey } from "./survey.ts";
import { choose, Language } from "./texts.ts";
import { Watch } from "./watch.ts";

const main = document.querySelector("main") as HTMLElement;
const banner = document.getElementById("banner") as HTMLElement;
const progress = document.getElementById("progress") as HTMLElement;

let language = new Language(choose(navigator.languages, ["en", "de"], "en"));

function setLanguage(code: string): Language {
  language = new Language(code);
  document.documentElement.lang = code;
  return language;
}

const CHOSEN = "pixq-study language";

/** The language that the person chose in this tab; a reload does not take it back. */
function chosen(): string[] {
  try {
    return [sessionStorage.getItem(CHOSEN) ?? []].flat();
  } catch {
    return [];
  }
}

function keepLanguage(code: string): void {
  setLanguage(code);
  try {
    sessionStorage.setItem(CHOSEN, code);
  } catch {
    // A browser that keeps nothing: then it is only for this page.
  }
}

function onLine(connected: boolean): void {
  banner.hidden = connected;
  if (!connected) banner.textContent = language.say("offline");
}

/** jsPsych empties what it shows by setting HTML, which the server's policy forbids; nothing but nothing is let through. */
function allowEmptying(): void {
  const { trustedTypes } = window as { trustedTypes?: { createPolicy: (name: string, rules: object) => void } };
  trustedTypes?.createPolicy("default", { createHTML: (html: string) => (html === "" ? "" : null) });
}

/** The last that can be said when nothing goes on. */
function stop(title: string, text: string, why: string): void {
  // Why is in the server's words, which are English.
  const [before, after = ""] = text.split("{why}");
  const sheet = el("div", { class: "sheet end" },
    el("h1", {}, title), el("p", { class: "lead" }, before, el("span", { lang: "en" }, why), after),
    el("p", { class: "actions" }, button(language.say("reload"), () => window.location.reload(), true)));
  show(main, sheet);
}

function isOver({ step }: State): boolean {
  return step === "completed" || step === "screened_out" || step === "failed";
}

/** Hold the only page of this session; another tab waits until this one is closed. */
async function alone(): Promise<void> {
  // Only there on https and on this machine; without it the server still takes each number once.
  if (!navigator.locks) return;
  const name = `pixq-study ${window.location.pathname}${window.location.search}`;
  await new Promise<void>(resolve => {
    const hold = (): Promise<never> => {
      resolve();
      return new Promise(() => {});
    };
    navigator.locks.request(name, { ifAvailable: true }, lock => {
      if (lock) return hold();
      show(main, el("div", { class: "sheet" },
        el("h1", {}, language.say("other_tab_title")), el("p", { class: "lead" }, language.say("other_tab_text"))));
      return void navigator.locks.request(name, hold);
      // A page from the disk may be refused one.
    }).catch(() => resolve());
  });
}

const stepInfo = {
  name: "pixq-step",
  version: "1.0.0",
  parameters: { run: { type: ParameterType.FUNCTION, default: undefined } },
  data: {},
} as const;

/** One trial of jsPsych that does whatever it is given. */
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

/** Everything before the next image: until this is done, there is nothing to see of it. */
async function untilTrial(app: App, display: HTMLElement, fresh: boolean): Promise<void> {
  for (;;) {
    const { state } = app.session;
    // Until what was said of a practice picture is read, it is that picture's turn.
    if (!state.feedback || !app.answered) showProgress(state);
    // After a reload the display may be another one.
    if (!app.rate && !isOver(state) && state.step !== "consent") app.rate = await measureRate();
    const measured = state.step === "instructions" || state.step === "training" || state.step === "trial";
    app.watch.expect(measured && app.calibration ? app.calibration.environment : null);
    const { feedback: about } = state;
    // After a reload nobody knows whether it was read.
    if (about && (app.answered || fresh)) {
      fresh = false;
      await feedback(app, display, about);
      app.answered = null;
      continue;
    }
    app.answered = null;
    if (isOver(state)) return;
    if (measured && !app.calibration) await calibration(app, display);
    else if (state.step === "consent") await consent(app, display);
    else if (state.step === "check") await check(app, display);
    else if (state.step === "calibration") await calibration(app, display);
    else if (state.step === "instructions") await instructions(app, display);
    else if (state.step === "survey") await survey(app, display);
    else if (state.trial) {
      const size = sizeOf(app, state.trial.width, state.trial.height);
      if (size.width_css <= window.innerWidth && size.height_css <= window.innerHeight) return;
      app.session.log("error", { what: "the images are larger than the window", ...size, inner: [window.innerWidth, window.innerHeight] });
      const say = language.say.bind(language);
      await new Promise<void>(resolve => {
        show(display, el("div", { class: "sheet" },
          el("h1", {}, say("too_large_title")), el("p", { class: "lead" }, say("too_large_text")),
          el("p", { class: "actions" }, button(say("cover_measure_button"), resolve, true))));
      });
      app.calibration = null;
    } else throw new Error(`the server sent the step ${state.step} without an image`);
  }
}

function showProgress(state: State): void {
  const on = state.step === "training" || state.step === "trial";
  progress.hidden = !on;
  if (!on) return;
  const [index, of] = [state.index + 1, state.of];
  const text = language.say(state.step === "training" ? "progress_training" : "progress", { index, of });
  const bar = el("progress", { max: of, value: state.index });
  bar.setAttribute("aria-hidden", "true");
  progress.replaceChildren(el("span", {}, text), bar);
}

/** What is loaded ahead stays here until it is used; it is of one image at most. */
class Ahead {
  readonly #api: Api;
  readonly #blobs = new Map<string, Blob>();
  #fetching = new AbortController();

  constructor(api: Api) {
    this.#api = api;
  }

  load = async (key: string, signal: AbortSignal): Promise<Blob> => {
    // What is needed now does not share the line with what is not.
    this.#fetching.abort();
    const known = this.#blobs.get(key);
    this.#blobs.delete(key);
    return known ?? this.#api.image(key, signal);
  };

  async fetch(keys: readonly string[]): Promise<void> {
    this.#blobs.clear();
    this.#fetching = new AbortController();
    const { signal } = this.#fetching;
    for (const key of keys) {
      if (signal.aborted) return;
      // Whatever fails here is loaded, and told of, when its turn comes.
      const blob = await this.#api.image(key, signal).catch(() => null);
      if (blob) this.#blobs.set(key, blob);
    }
  }
}

function timeline(app: App, ahead: Ahead) {
  let fresh = true;
  const { session } = app;
  const { study } = session;
  // Of the trial that is shown: what the server says may change meanwhile, where another page answers.
  let asked: TrialSpec | null = null;
  const spec = () => {
    if (!asked) throw new Error("there is no image to show");
    return asked;
  };
  const flicker = {
    type: FlickerJnd,
    reference: () => spec().reference,
    levels: () => spec().levels,
    width: () => spec().width,
    height: () => spec().height,
    clicks: () => spec().clicks,
    scaling: study.scaling,
    width_cm: study.width_cm,
    height_cm: study.height_cm,
    px_per_cm: () => app.calibration?.px_per_cm ?? null,
    hertz: study.hertz,
    rate: () => app.rate,
    load: app.load,
    on_broken: (image: string, why: string) => session.log("error", { key: spec().key, image, why }),
    on_loaded: () => void ahead.fetch(spec().preload),
    texts: () => app.language.trial,
    on_load: () => {
      if (app.watch.blocked) document.dispatchEvent(new CustomEvent("flicker-jnd:pause"));
    },
    on_finish: (data: FlickerJndData) => {
      const { key, kind } = spec();
      const { pjnd, track, points, rate, achieved, frames_per_image, late, shown_ms, dpr, px_per_cm, width_css, height_css } = data;
      app.answered = { spec: spec(), pjnd, points };
      const { changes, late_frames, pauses, paused_ms } = data;
      session.log("frames", { key, changes, late_frames, pauses, paused_ms });
      session.log(kind, { key, pjnd, track, points, rate, achieved, frames_per_image, late, shown_ms, dpr, px_per_cm, width_css, height_css });
    },
  };
  const before = async (display: HTMLElement): Promise<void> => {
    const first = fresh;
    fresh = false;
    // jsPsych would have the tab key stop at the whole page.
    main.tabIndex = -1;
    await untilTrial(app, display, first);
    asked = isOver(session.state) ? null : (session.state.trial ?? null);
  };
  const save = async (display: HTMLElement): Promise<void> => {
    show(display, el("p", { class: "saving", role: "status" }, app.language.say("saving")));
    await session.confirmed();
  };
  return [{
    timeline: [
      { type: Step, run: before },
      {
        timeline: [flicker, { type: Step, run: save }],
        conditional_function: () => asked !== null,
      },
    ],
    loop_function: () => !isOver(session.state),
  }];
}

export interface Options {
  api: Api;
  /** What is known of the person, and of the language that is wanted. */
  platform: Record<string, string>;
  /** The last words. */
  end: (app: App, display: HTMLElement) => Promise<void>;
}

async function begin({ api, platform, end }: Options): Promise<void> {
  allowEmptying();
  setLanguage(language.code);
  await alone();
  show(main, el("p", { class: "saving", role: "status" }, language.say("opening")));
  const wanted = platform.lang ?? platform.language;
  const started = await api.start(platform, chosen()[0] ?? wanted ?? language.code, another.asked(), connected => {
    banner.hidden = connected;
    if (!connected) banner.textContent = language.say("connecting");
  });
  const { study } = started;
  setLanguage(choose([...chosen(), ...(wanted ? [wanted] : []), ...navigator.languages], study.languages, study.default_language));
  document.title = study.title;
  (document.getElementById("title") as HTMLElement).textContent = study.title;
  const onRefused = (error: Refused): void => {
    app.watch.expect(null);
    stop(language.say("refused_title"), language.say("refused_text", { contact: study.contact }), error.message);
  };
  const session = new Session(api, started, { onLine, onRefused });
  const ahead = new Ahead(api);
  const app: App = {
    api,
    session,
    get language() {
      return language;
    },
    setLanguage: keepLanguage,
    watch: new Watch({
      main,
      language: () => language,
      least: study.min_window,
      onChange: (problems, now) => {
        document.dispatchEvent(new CustomEvent(problems.length ? "flicker-jnd:pause" : "flicker-jnd:resume"));
        if (problems.length) session.log("blocked", { problems: [...problems], environment: now });
        else session.log("resumed", {});
      },
      onMeasure: () => void session.kept.dropCalibration().finally(() => window.location.reload()),
    }),
    rate: 0,
    calibration: await session.kept.calibration().catch(() => null),
    answered: null,
    load: ahead.load,
  };
  // Somebody who may not take part any more has no session.
  if (!started.token) return end(app, main);
  await session.begin();
  // Confirmed before anything is shown: what an earlier page sent is stored by now, or never, and `state` is of after that.
  await session.submit("opened", { language: language.code });
  // From the disk jsPsych would warn of sound and video that can't be loaded; there is none.
  const jsPsych = initJsPsych({ display_element: main, override_safe_mode: true });
  main.replaceChildren();
  await jsPsych.run(timeline(app, ahead));
  await end(app, main);
}

/** Everything from the first word to the last. */
export function run(options: Options): void {
  begin(options).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    stop(language.say("refused_title"), language.say("no_study"), why);
  });
}
