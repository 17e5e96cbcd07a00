/** Watches whether the screen and the window are still as they were measured, and covers the page if not. */

import { changes, type Environment, type Change } from "./checks.ts";
import { button, el } from "./dom.ts";
import type { Language } from "./texts.ts";

/** Milliseconds between two looks: no event reports that a window moved to another screen. */
const EVERY = 500;

export function environment(): Environment {
  return {
    dpr: window.devicePixelRatio || 1,
    inner: [window.innerWidth, window.innerHeight],
    outer: [window.outerWidth, window.outerHeight],
    screen: [window.screen.width, window.screen.height],
    available: [window.screen.availWidth, window.screen.availHeight],
    pinch: window.visualViewport?.scale ?? 1,
  };
}

/** Calls back after every possible change. @returns A function that ends this. */
export function observe(look: () => void): () => void {
  const timer = setInterval(look, EVERY);
  const end = new AbortController();
  const { signal } = end;
  window.addEventListener("resize", look, { signal });
  window.visualViewport?.addEventListener("resize", look, { signal });
  document.addEventListener("visibilitychange", look, { signal });
  document.addEventListener("fullscreenchange", look, { signal });
  return () => {
    clearInterval(timer);
    end.abort();
  };
}

export interface WatchOptions {
  main: HTMLElement;
  language: () => Language;
  least: [number, number];
  /** Called with the problems, or with an empty list when they are gone. */
  onChange: (problems: readonly Change[], now: Environment) => void;
  /** The person wants to measure the screen again. */
  onMeasure: () => void;
}

export class Watch {
  readonly #options: WatchOptions;
  readonly #cover = el("div", { class: "cover", role: "alertdialog", "aria-modal": "true", "aria-labelledby": "cover-title", "aria-describedby": "cover-why", tabindex: "-1", hidden: true });
  #before: Environment | null = null;
  #shown = "";
  #focused: Element | null = null;

  constructor(options: WatchOptions) {
    this.#options = options;
    document.body.append(this.#cover);
    observe(() => this.look());
  }

  /** From now on everything must stay like this; null: anything goes. */
  expect(before: Environment | null): void {
    this.#before = before;
    this.look();
  }

  get blocked(): boolean {
    return this.#shown !== "";
  }

  look(): void {
    const now = environment();
    const problems = this.#before ? changes(this.#before, now, this.#options.least) : [];
    const shown = problems.length ? JSON.stringify([problems, now.inner, now.dpr]) : "";
    if (shown === this.#shown) return;
    const was = this.blocked;
    this.#shown = shown;
    const { main, onChange } = this.#options;
    if (problems.length) this.#explain(problems, now);
    this.#cover.hidden = !problems.length;
    main.inert = problems.length > 0;
    if (!was) {
      this.#focused = document.activeElement;
      this.#cover.focus();
    }
    if (was !== this.blocked) onChange(problems, now);
    if (was && !this.blocked && this.#focused instanceof HTMLElement) this.#focused.focus({ preventScroll: true });
  }

  #explain(problems: readonly Change[], now: Environment): void {
    const language = this.#options.language();
    const before = this.#before as Environment;
    const { least } = this.#options;
    const values = {
      width: now.inner[0], height: now.inner[1],
      old_width: before.inner[0], old_height: before.inner[1],
      least_width: least[0], least_height: least[1],
      zoom: Math.round((100 * now.dpr) / before.dpr),
    };
    const list = el("ul", { id: "cover-why" }, ...problems.map(problem => el("li", {}, language.say(`cover_${problem}`, values))));
    this.#cover.replaceChildren(
      el("div", { class: "panel" },
        el("h1", { id: "cover-title" }, language.say("cover_title")),
        el("p", {}, language.say("cover_text")),
        list,
        el("p", { class: "faint" }, language.say("cover_measure"), " ", button(language.say("cover_measure_button"), this.#options.onMeasure)),
      ),
    );
  }
}
