import { show, type App } from "../app.ts";
import { button, el } from "../dom.ts";
import type { OfflineApi } from "./api.ts";
import { asCsv, asJson } from "./files.ts";

/** Milliseconds for which a file that is being saved stays readable. */
const READABLE = 60_000;

function save(name: string, media: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: media }));
  const link = el("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), READABLE);
}

/** The last page: the answers are only in this browser, and the person saves and sends them. */
export async function end(api: OfflineApi, app: App, display: HTMLElement): Promise<void> {
  const { language, session } = app;
  const say = language.say.bind(language);
  const { store, file } = api;
  if (session.state.step !== "completed") {
    // Nothing was answered; whoever opens the file again starts from the beginning.
    await session.storage.forget().catch(() => {});
    await store.forget().catch(() => {});
    show(display, el("div", { class: "sheet end" }, el("h1", {}, say("failed_title")), el("p", { class: "lead" }, say("failed_text"))));
    return;
  }
  const first = !store.events.some(event => event.kind === "done");
  if (first) await session.submit("done", { step: session.state.step });
  await session.storage.forget().catch(() => {});
  const { study } = file;
  const facts = { study: study.title, study_version: study.version, seal: file.seal, number: file.number, session: store.session };
  const status = el("p", { role: "status", class: "faint" });
  const offer = (kind: "json" | "csv"): void => {
    const name = `pixq-answers-${file.number}-${store.session}.${kind}`;
    if (kind === "json") save(name, "application/json", asJson(facts, store.events));
    else save(name, "text/csv", asCsv(facts, store.events));
    status.textContent = say("download_told", { name });
  };
  show(display,
    el("div", { class: "sheet end" },
      el("h1", {}, say("completed_title")),
      el("p", { class: "lead" }, say("download_lead", { contact: study.contact })),
      el("p", { class: "actions" },
        button(say("download_json"), () => offer("json"), true), button(say("download_csv"), () => offer("csv"))),
      status,
      el("p", {}, el("label", { for: "session" }, say("download_id"))),
      el("p", { class: "actions" }, el("output", { class: "code", id: "session" }, store.session)),
      el("p", { class: "actions faint small" }, say("download_anew_text"), button(say("download_anew"), () => {
        if (window.confirm(say("download_anew_sure"))) void store.forget().finally(() => window.location.reload());
      })),
    ),
  );
  // Once, not again after a reload.
  if (first) offer("json");
}
