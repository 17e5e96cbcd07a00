/** What stands in the surround where there is no picture: that some are loaded, or that one could not be. */

import { button, element } from "./dom.ts";
import type { Say } from "./texts.ts";

export class Notice {
  readonly root = element("div", "fj-message");
  readonly #say: Say;

  constructor(say: Say) {
    this.#say = say;
    this.root.setAttribute("role", "status");
  }

  clear(): void {
    this.root.replaceChildren();
  }

  progress(loaded: number, needed: number): void {
    const bar = element("progress", "fj-progress");
    bar.max = needed;
    bar.value = loaded;
    bar.setAttribute("aria-label", this.#say("loading"));
    const count = element("p", "fj-count", this.#say("loading_of", { loaded, needed }));
    this.root.replaceChildren(element("p", "", this.#say("loading")), bar, count);
  }

  waiting(): void {
    this.root.replaceChildren(element("p", "", this.#say("waiting")));
  }

  /** @returns When the person asks to try it again. */
  broken(why: string): Promise<void> {
    return new Promise(resolve => {
      const again = () => {
        this.clear();
        resolve();
      };
      const what = element("p", "fj-broken", this.#say("broken"));
      this.root.replaceChildren(what, element("p", "fj-count", why), button(this.#say("retry"), again, "fj-button fj-main"));
    });
  }
}
