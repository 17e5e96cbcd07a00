/** The page of a study: its `Api` says what comes next, and jsPsych shows it. */

import { initJsPsych } from "jspsych";

import type { Api } from "./api.ts";
import { show, type App } from "./app.ts";
import { chosenLanguage, saveChosenLanguage } from "./chosen_language.ts";
import { button, el } from "./dom.ts";
import { takeNextSessionRequest } from "./next_session.ts";
import { becomeOnlyTab } from "./only_tab.ts";
import { Prefetch } from "./prefetch.ts";
import type { Started } from "./protocol.ts";
import type { Refused } from "./queue.ts";
import { Session } from "./session.ts";
import { choose, Language } from "./texts.ts";
import { timeline } from "./timeline.ts";
import { Watch } from "./watch.ts";

export interface Options {
  api: Api;
  /** What the address says about the person, and the language it asks for. */
  platform: Record<string, string>;
  /** Shows the last page. */
  end: (app: App, display: HTMLElement) => Promise<void>;
}

const main = document.querySelector("main") as HTMLElement;
const banner = document.getElementById("banner") as HTMLElement;
let language = new Language(choose(navigator.languages, ["en", "de"], "en"));

/** Run the whole study, from the first page to the last. */
export function run(options: Options): void {
  begin(options).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    showRefusal(language.say("no_study"), why);
  });
}

async function begin({ api, platform, end }: Options): Promise<void> {
  allowEmptying();
  setLanguage(language.code);
  await becomeOnlyTab(main, language);
  show(main, el("p", { class: "saving", role: "status" }, language.say("opening")));
  const wanted = [chosenLanguage(), platform.lang ?? platform.language].filter(code => code != null);
  const started = await api.start(platform, wanted[0] ?? language.code, takeNextSessionRequest(), showConnection("connecting"));
  const { study } = started;
  setLanguage(choose([...wanted, ...navigator.languages], study.languages, study.default_language));
  document.title = study.title;
  (document.getElementById("title") as HTMLElement).textContent = study.title;
  const prefetch = new Prefetch(api);
  const app = await createApp(api, started, prefetch);
  // Somebody who may not take part any more has no session.
  if (!started.token) return end(app, main);
  const { session } = app;
  await session.begin();
  // Stored before anything is shown: by now, what an earlier page sent is stored or lost, and `state` includes it.
  await session.submit("opened", { language: language.code });
  // From the disk jsPsych would warn about sound and video that can't be loaded; there are none.
  const jsPsych = initJsPsych({ display_element: main, override_safe_mode: true });
  main.replaceChildren();
  await jsPsych.run(timeline(app, prefetch));
  await end(app, main);
}

async function createApp(api: Api, started: Started, prefetch: Prefetch): Promise<App> {
  const { study } = started;
  const onRefused = (error: Refused): void => {
    app.watch.expect(null);
    showRefusal(language.say("refused_text", { contact: study.contact }), error.message);
  };
  const session = new Session(api, started, { onLine: showConnection("offline"), onRefused });
  const app: App = {
    api,
    session,
    get language() {
      return language;
    },
    setLanguage(code) {
      setLanguage(code);
      saveChosenLanguage(code);
    },
    watch: new Watch({
      main,
      language: () => language,
      least: study.min_window,
      onChange: (problems, now) => {
        document.dispatchEvent(new CustomEvent(problems.length ? "flicker-jnd:pause" : "flicker-jnd:resume"));
        if (problems.length) session.log("blocked", { problems: [...problems], environment: now });
        else session.log("resumed", {});
      },
      onMeasure: () => void session.storage.dropCalibration().finally(() => window.location.reload()),
    }),
    rate: 0,
    calibration: await session.storage.calibration().catch(() => null),
    answered: null,
    load: prefetch.load,
  };
  return app;
}

function setLanguage(code: string): void {
  language = new Language(code);
  document.documentElement.lang = code;
}

/** Shows a text in the banner while there is no connection. */
function showConnection(text: "connecting" | "offline"): (connected: boolean) => void {
  return connected => {
    banner.hidden = connected;
    if (!connected) banner.textContent = language.say(text);
  };
}

/** jsPsych clears its display by setting HTML, which the server's policy forbids; only the empty text is let through. */
function allowEmptying(): void {
  const { trustedTypes } = window as { trustedTypes?: { createPolicy: (name: string, rules: object) => void } };
  trustedTypes?.createPolicy("default", { createHTML: (html: string) => (html === "" ? "" : null) });
}

/** Say why the study can't go on. `text` has a place for the reason, which is in the server's words: English. */
function showRefusal(text: string, why: string): void {
  const [before, after = ""] = text.split("{why}");
  show(main, el("div", { class: "sheet end" },
    el("h1", {}, language.say("refused_title")), el("p", { class: "lead" }, before, el("span", { lang: "en" }, why), after),
    el("p", { class: "actions" }, button(language.say("reload"), () => window.location.reload(), true))));
}
