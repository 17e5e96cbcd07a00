import { show, type App } from "./app.ts";
import { button, el } from "./dom.ts";
import type { Question } from "./protocol.ts";
import { localText, parseNumber, problemOf } from "./survey_answers.ts";

/** Longer texts get several lines. */
const ONE_LINE = 100;

/** A question on the page. */
interface Field {
  root: HTMLElement;
  answer: () => string | number | null;
  /** Show what is wrong with the answer, or that nothing is. @returns The control to correct it with; null if nothing is wrong. */
  check: () => HTMLElement | null;
}

/** The study's questions, as `study.toml` has them. */
export function survey(app: App, display: HTMLElement): Promise<void> {
  const say = app.language.say.bind(app.language);
  const questions = app.session.study.survey;
  return new Promise(resolve => {
    const form = el("form", { class: "survey", novalidate: true });
    const fields = questions.map(question => field(app, form, question));
    const send = button(say("survey_send"), () => {
      const [wrong] = fields.map(each => each.check()).filter(control => control !== null);
      if (wrong) return wrong.focus();
      send.disabled = true;
      const answers = questions.map(({ name }, index) => [name, fields[index].answer()]);
      void app.session.submit("survey", Object.fromEntries(answers)).then(resolve);
    }, true);
    form.append(...fields.map(({ root }) => root), el("p", { class: "actions" }, send));
    form.addEventListener("submit", event => event.preventDefault());
    const lead = say(questions.some(({ required }) => required) ? "survey_lead_required" : "survey_lead");
    show(display, el("div", { class: "sheet" }, el("h1", {}, say("survey_title")), el("p", { class: "lead" }, lead), form));
  });
}

function field(app: App, form: HTMLFormElement, question: Question): Field {
  const { language, session } = app;
  const { name } = question;
  const [id, error] = [`survey-${name}`, `survey-${name}-error`];
  const text = (texts: Record<string, string>) => localText(texts, language.code, session.study.default_language);
  const title = [text(question.question), ...(question.required ? [" ", el("span", { class: "required" }, language.say("survey_required"))] : [])];
  const complaint = el("p", { class: "error", id: error, role: "alert", hidden: true });
  const typed = () => String(new FormData(form).get(name) ?? "");
  const answer = (): string | number | null => {
    if (question.kind === "text") return typed();
    if (typed().trim() === "") return null;
    if (question.kind === "choice") return typed();
    return question.kind === "scale" ? Number(typed()) : parseNumber(typed(), language.code);
  };
  const root = question.kind === "choice" || question.kind === "scale"
    ? el("fieldset", { class: question.kind }, el("legend", {}, ...title), ...choices(question, text), complaint)
    : el("div", { class: "question" }, el("label", { for: id }, ...title), ...entry(question, id, text), complaint);
  const controls = [...root.querySelectorAll<HTMLElement>("input, textarea")];
  const unit = root.querySelector(".unit")?.id;
  const check = (): HTMLElement | null => {
    const value = answer();
    const blank = typeof value === "string" && value.trim() === "" ? null : value;
    const problem = problemOf(question, blank);
    complaint.hidden = !problem;
    complaint.textContent = problem ? complaintAbout(app, question, problem) : "";
    for (const control of controls) {
      control.setAttribute("aria-invalid", String(problem !== null));
      control.setAttribute("aria-describedby", [unit, problem && error].filter(Boolean).join(" "));
    }
    return problem ? controls[0] : null;
  };
  // A complaint goes as soon as its reason does.
  root.addEventListener("input", () => {
    if (!complaint.hidden) check();
  });
  if (unit) controls[0].setAttribute("aria-describedby", unit);
  return { root, answer, check };
}

type TextOf = (texts: Record<string, string>) => string;

/** Radio buttons: of the options, or of the steps of a scale between its two words. */
function choices(question: Question & { kind: "choice" | "scale" }, text: TextOf): HTMLElement[] {
  const { name, required } = question;
  const radio = (value: string | number, label: string | false) =>
    el("input", { type: "radio", name, value, required, "aria-label": label });
  if (question.kind === "choice")
    return question.options.map(option => el("label", { class: "line" }, radio(option.value, false), " ", text(option.text)));
  const [low, high] = [text(question.low), text(question.high)];
  const steps = Array.from({ length: question.steps }, (_, index) => index + 1);
  const marks = steps.map(step => {
    // The words stand beside the ends; who hears the steps one by one hears the words there.
    const word = step === 1 ? low : step === question.steps ? high : "";
    return el("label", {}, radio(step, word ? `${step}, ${word}` : String(step)), el("span", {}, String(step)));
  });
  return [el("div", {}, el("span", { class: "end" }, low), ...marks, el("span", { class: "end" }, high))];
}

/** A box to type into. */
function entry(question: Question & { kind: "text" | "number" }, id: string, text: TextOf): HTMLElement[] {
  const { name, required } = question;
  if (question.kind === "number") {
    const unit = question.unit ? [el("span", { class: "unit", id: `${id}-unit` }, text(question.unit))] : [];
    return [el("span", { class: "number" }, el("input", { id, name, required, type: "text", inputmode: "decimal", autocomplete: "off" }), ...unit)];
  }
  const { max_length } = question;
  if (max_length <= ONE_LINE) return [el("input", { id, name, required, type: "text", maxlength: max_length, autocomplete: "off" })];
  return [el("textarea", { id, name, required, rows: 4, maxlength: max_length })];
}

function complaintAbout(app: App, question: Question, problem: "missing" | "invalid"): string {
  const { language } = app;
  if (problem === "missing") return language.say("survey_missing");
  const { min, max } = question as Question & { kind: "number" };
  const shown = (value: number) => value.toLocaleString(language.code);
  if (min !== undefined && max !== undefined) return language.say("survey_number_between", { min: shown(min), max: shown(max) });
  if (min !== undefined) return language.say("survey_number_least", { min: shown(min) });
  if (max !== undefined) return language.say("survey_number_most", { max: shown(max) });
  return language.say("survey_number");
}
