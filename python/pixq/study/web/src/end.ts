import { show, type App } from "./app.ts";
import { button, el } from "./dom.ts";
import { requestNextSession } from "./next_session.ts";
import type { State } from "./protocol.ts";
import type { Key } from "./texts.ts";

type End = "completed" | "screened_out" | "full" | "failed";

/** Milliseconds to read the thanks before the platform takes over. */
const THANKS = 4000;

/** The last page, once the server has everything. */
export async function end(app: App, display: HTMLElement): Promise<void> {
  const { language, session } = app;
  const say = language.say.bind(language);
  const { step, completion } = session.state as State & { step: End };
  if (session.open) {
    await session.submit("done", { step });
    await session.storage.forget().catch(() => {});
  }
  const url = completion?.url ?? null;
  const code = completion?.code ?? null;
  const sheet = el("div", { class: "sheet end" }, el("h1", {}, say(`${step}_title`)));
  sheet.append(el("p", { class: "lead" }, say(textOf(session.state, url), { minutes: session.state.minutes ?? 1, contact: session.study.contact })));
  if (code) {
    const copy = button(say("completed_copy"), () => {
      void navigator.clipboard.writeText(code).then(() => (copy.textContent = say("completed_copied")));
    });
    const output = el("output", { class: "code", id: "code" }, code);
    sheet.append(el("p", {}, el("label", { for: "code" }, say("completed_code"))), el("p", { class: "actions" }, output, ...(window.isSecureContext ? [copy] : [])));
  }
  if (url) {
    sheet.append(el("p", { class: "actions" }, el("a", { href: url, class: "main" }, say("completed_link"))));
    setTimeout(() => window.location.assign(url), THANKS);
  }
  if (step === "full") {
    sheet.append(el("p", { class: "actions" }, button(say("full_again"), () => window.location.reload(), true)));
  }
  if (step === "completed" && session.state.more && !url) {
    sheet.append(el("p", { class: "actions" }, button(say("completed_more"), () => {
      requestNextSession();
      window.location.reload();
    })));
  }
  show(display, sheet);
}

function textOf({ step, reason }: State, url: string | null): Key {
  if (step === "completed" && url) return "completed_go";
  if (reason === "unqualified") return "unqualified_text";
  if (reason === "enough") return "enough_text";
  if (reason === "finished") return "finished_text";
  if (reason === "consent") return "declined_text";
  return `${step as End}_text`;
}
