import { show, type App } from "./app.ts";
import { button, el } from "./dom.ts";

/** The paragraphs of a plain text, which empty lines separate. */
function paragraphs(text: string): HTMLElement[] {
  return text.split(/\n\s*\n/).map(part => el("p", { class: "plain" }, part.trim()));
}

/** Where the licences of others' software are: beside the page, or in a page that runs from disk. */
function licenses(title: string): HTMLElement {
  const inside = document.getElementById("pixq-licenses");
  if (inside) {
    const text = JSON.parse(inside.textContent ?? '""') as string;
    return el("details", { class: "faint" }, el("summary", {}, title), el("pre", {}, text));
  }
  const style = document.querySelector<HTMLLinkElement>("link[rel=stylesheet]");
  const href = new URL("licenses.txt", style?.href ?? document.baseURI).href;
  return el("p", { class: "faint" }, el("a", { href, target: "_blank", rel: "noopener" }, title));
}

/** The study's consent text, the warning, and the person's decision. */
export function consent(app: App, display: HTMLElement): Promise<void> {
  const { study } = app.session;
  return new Promise(resolve => {
    const paint = (): void => {
      const say = app.language.say.bind(app.language);
      const agree = el("input", { type: "checkbox", id: "agree" });
      const begin = button(say("consent_begin"), () => send(true), true);
      begin.disabled = true;
      agree.addEventListener("change", () => (begin.disabled = !agree.checked));
      const select = el("select", { id: "language", change: () => {
        app.setLanguage(select.value);
        paint();
        display.querySelector("select")?.focus();
      } });
      for (const code of study.languages) {
        const name = new Intl.DisplayNames([code], { type: "language" }).of(code) ?? code;
        select.append(el("option", { value: code, lang: code, selected: code === app.language.code }, name));
      }
      const choice = el("p", { class: "language" }, el("label", { for: "language" }, say("language")), " ", select);
      const text = study.consent[app.language.code] ?? study.consent[study.default_language] ?? "";
      show(display,
        el("div", { class: "sheet" },
          ...(study.languages.length > 1 ? [choice] : []),
          el("h1", {}, say("consent_title")),
          ...paragraphs(text),
          el("div", { class: "warning", role: "note" },
            el("h2", {}, say("consent_warning_title")),
            el("p", {}, say("consent_warning", { hertz: study.hertz })),
          ),
          el("p", { class: "faint" }, say("consent_contact", { contact: study.contact })),
          el("p", { class: "agree" }, agree, el("label", { for: "agree" }, say("consent_agree"))),
          el("p", { class: "actions" }, begin, button(say("consent_decline"), () => send(false))),
          licenses(say("licenses")),
        ),
      );
    };
    let decided = false;
    const send = (agreed: boolean): void => {
      // A double click is one decision; the server refuses a second one.
      if (decided) return;
      decided = true;
      // The server has the text itself, by version and language.
      void app.session.submit("consent", { agreed, language: app.language.code, version: study.version }).then(resolve);
    };
    paint();
  });
}
