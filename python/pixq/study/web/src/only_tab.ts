import { show } from "./app.ts";
import { el } from "./dom.ts";
import type { Language } from "./texts.ts";

/** Resolves once this is the only tab of the session; until then it says that another tab has the study open. */
export async function becomeOnlyTab(display: HTMLElement, language: Language): Promise<void> {
  // Locks exist only on https and on this machine; without them the server still accepts each number once.
  if (!navigator.locks) return;
  const name = `pixq-study ${window.location.pathname}${window.location.search}`;
  await new Promise<void>(resolve => {
    const hold = (): Promise<never> => {
      resolve();
      return new Promise(() => {});
    };
    navigator.locks.request(name, { ifAvailable: true }, lock => {
      if (lock) return hold();
      show(display, el("div", { class: "sheet" },
        el("h1", {}, language.say("other_tab_title")), el("p", { class: "lead" }, language.say("other_tab_text"))));
      return void navigator.locks.request(name, hold);
      // A page from the disk may be refused a lock.
    }).catch(() => resolve());
  });
}
