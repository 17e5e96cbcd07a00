/** The message in place of a picture: that pictures are loading, or that one could not be loaded. */

import { button, element } from "./dom.ts";
import type { Say } from "./texts.ts";

export class Notice {
  readonly root = element("div", "fj-message");
  readonly #say: Say;
  readonly #bar = element("progress", "fj-progress");
  readonly #count = element("p", "fj-count");

  constructor(say: Say) {
    this.#say = say;
    this.root.setAttribute("role", "status");
  }

  clear(): void {
    this.root.replaceChildren();
  }

  progress(loaded: number, needed: number): void {
    this.#bar.max = needed;
    this.#bar.value = loaded;
    this.#count.textContent = this.#say("loading_of", { loaded, needed });
    // A screen reader reads it once, not again with every picture.
    if (this.#bar.isConnected) return;
    this.#bar.setAttribute("aria-label", this.#say("loading"));
    this.#count.setAttribute("aria-hidden", "true");
    this.root.replaceChildren(element("p", "", this.#say("loading")), this.#bar, this.#count);
  }

  waiting(): void {
    this.root.replaceChildren(element("p", "", this.#say("waiting")));
  }

  /** Resolves when the person wants to try again. */
  broken(why: string): Promise<void> {
    return new Promise(resolve => {
      const again = () => {
        this.clear();
        resolve();
      };
      const what = element("p", "fj-broken", this.#say("broken"));
      const cause = element("p", "fj-count", why);
      // The reason comes from a browser or a server, in English.
      cause.lang = "en";
      this.root.replaceChildren(what, cause, button(this.#say("retry"), again, "fj-button fj-main"));
    });
  }
}
