import assert from "node:assert/strict";
import { test } from "node:test";

import { localText, parseNumber, problemOf } from "../src/survey_answers.ts";
import type { Question } from "../src/protocol.ts";

test("a number is read as the page's language writes it", () => {
  assert.equal(parseNumber(" 27.5 ", "en"), 27.5);
  assert.equal(parseNumber("27,5", "de"), 27.5);
  assert.equal(parseNumber("27.5", "de"), 27.5);
  assert.equal(parseNumber("−3", "en"), -3);
  for (const text of ["27,5", "1e3", "x", "1 2", "0x10", ".5", "1.2.3"]) assert.ok(Number.isNaN(parseNumber(text, "en")), text);
});

test("a text is in the language, or in the nearest one there is", () => {
  const texts = { en: "E", de: "D", fr: "F" };
  assert.equal(localText(texts, "de-AT", "fr"), "D");
  assert.equal(localText(texts, "it", "fr"), "F");
  assert.equal(localText(texts, "it", "es"), "E");
  assert.equal(localText({ fr: "F" }, "it", "es"), "F");
});

test("only what is required must be answered", () => {
  const question: Question = { name: "age", question: {}, required: true, kind: "number", min: 18 };
  assert.equal(problemOf(question, null), "missing");
  assert.equal(problemOf({ ...question, required: false }, null), null);
  assert.equal(problemOf(question, 17), "invalid");
  assert.equal(problemOf(question, NaN), "invalid");
  assert.equal(problemOf(question, 18), null);
});
