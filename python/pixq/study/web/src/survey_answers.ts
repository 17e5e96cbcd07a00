/** What counts as an answer to a survey question: what `pixq.study.design.survey` says. Pure. */

import constants from "../../constants.json" with { type: "json" };
import type { LocalTexts, Question } from "./protocol.ts";

const LARGEST = constants.limits.survey_number;

export type Problem = "missing" | "invalid";

/** What is wrong with an answer; null where nothing is. */
export function problemOf(question: Question, answer: unknown): Problem | null {
  const blank = answer === null || answer === undefined || (typeof answer === "string" && !answer.trim());
  if (blank) return question.required ? "missing" : null;
  return accepts(question, answer) ? null : "invalid";
}

function accepts(question: Question, answer: unknown): boolean {
  if (question.kind === "choice") return question.options.some(option => option.value === answer);
  if (question.kind === "scale") return Number.isInteger(answer) && 1 <= Number(answer) && Number(answer) <= question.steps;
  // Characters, not UTF-16 units, as Python counts them.
  if (question.kind === "text") return typeof answer === "string" && [...answer].length <= question.max_length;
  const { min = -LARGEST, max = LARGEST } = question;
  return typeof answer === "number" && min <= answer && answer <= max;
}

/** Why these are not answers to the questions; empty where they are. */
export function surveyRefusal(questions: readonly Question[], answers: Record<string, unknown>): string {
  for (const question of questions) {
    const answer = Object.hasOwn(answers, question.name) ? answers[question.name] : null;
    const problem = problemOf(question, answer);
    if (problem) return `${question.name}: the answer is ${problem}`;
  }
  return "";
}

/** The number that a person typed; NaN where it is not one. A comma is taken where the language writes one. */
export function parseNumber(text: string, language: string): number {
  const separator = new Intl.NumberFormat(language).formatToParts(1.5).find(part => part.type === "decimal")?.value;
  const plain = text.trim().replace("−", "-").replace(separator === "," ? "," : ".", ".");
  return /^[+-]?\d+(\.\d+)?$/.test(plain) ? Number(plain) : NaN;
}

/** The text in a language, or in the nearest that there is. */
export function localText(texts: LocalTexts, language: string, fallback: string): string {
  const codes = [language, language.split("-")[0], fallback, "en", ...Object.keys(texts)];
  return codes.map(code => texts[code]).find(text => text !== undefined) ?? "";
}
