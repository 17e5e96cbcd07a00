import { show, type App } from "./app.ts";
import { button, el } from "./dom.ts";

/** A few questions; any may be left out. */
export function survey(app: App, display: HTMLElement): Promise<void> {
  const say = app.language.say.bind(app.language);
  return new Promise(resolve => {
    const form = el("form", { novalidate: true });
    const scale = (name: string, title: string, low: string, high: string) => {
      const marks = [1, 2, 3, 4, 5].map(value => {
        // The ends' words stand beside the numbers; who hears them one by one hears them there.
        const spoken = value === 1 ? `${value}, ${low}` : value === 5 ? `${value}, ${high}` : String(value);
        return el("label", {}, el("input", { type: "radio", name, value, "aria-label": spoken }), el("span", {}, String(value)));
      });
      return el("fieldset", { class: "scale" }, el("legend", {}, title),
        el("div", {}, el("span", { class: "end" }, low), ...marks, el("span", { class: "end" }, high)));
    };
    const choice = (name: string, title: string, options: [string, string][]) =>
      el("fieldset", {}, el("legend", {}, title),
        ...options.map(([value, text]) => el("label", { class: "line" }, el("input", { type: "radio", name, value }), " ", text)));
    const send = button(say("survey_send"), () => {
      send.disabled = true;
      const given = new FormData(form);
      const number = (name: string) => (given.has(name) ? Number(given.get(name)) : null);
      void app.session.submit("survey", {
        hard: number("hard"),
        sure: number("sure"),
        glasses: given.get("glasses"),
        remarks: String(given.get("remarks") ?? "").slice(0, 2000),
      }).then(resolve);
    }, true);
    form.append(
      scale("hard", say("survey_hard"), say("survey_hard_low"), say("survey_hard_high")),
      scale("sure", say("survey_sure"), say("survey_sure_low"), say("survey_sure_high")),
      choice("glasses", say("survey_glasses"), [
        ["none", say("survey_glasses_none")], ["worn", say("survey_glasses_worn")], ["not", say("survey_glasses_not")],
      ]),
      el("p", {}, el("label", { for: "remarks" }, say("survey_remarks")), el("textarea", { id: "remarks", name: "remarks", rows: 4, maxlength: 2000 })),
      el("p", { class: "actions" }, send),
    );
    form.addEventListener("submit", event => event.preventDefault());
    show(display, el("div", { class: "sheet" }, el("h1", {}, say("survey_title")), el("p", { class: "lead" }, say("survey_lead")), form));
  });
}
