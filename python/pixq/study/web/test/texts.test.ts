import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import constants from "../../constants.json" with { type: "json" };
import { fill, TEXTS } from "../flicker-jnd/texts.ts";
import { choose } from "../src/texts.ts";

type Texts = Record<string, string> & { trial: Record<string, string> };

const folder = new URL("../texts/", import.meta.url);
const all = Object.fromEntries(
  readdirSync(folder).map(name => [name, JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Texts]),
);
const places = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(match => match[0]).sort();

test("every language says the same things, with the same places to fill in", () => {
  const english = all["en.json"];
  assert.ok(Object.keys(all).length >= 2);
  for (const [name, texts] of Object.entries(all)) {
    for (const [ours, theirs] of [[texts, english], [texts.trial, english.trial]]) {
      assert.deepEqual(Object.keys(ours), Object.keys(theirs), name);
      for (const [key, text] of Object.entries(ours)) {
        if (key === "trial") continue;
        assert.ok(text.trim(), `${name}: ${key} is empty`);
        assert.deepEqual(places(text), places(theirs[key]), `${name}: ${key}`);
      }
    }
  }
});

test("the plugin's own English is the page's", () => {
  assert.deepEqual(all["en.json"].trial, TEXTS);
});

test("every text is used", () => {
  const names = readdirSync(new URL("../src/", import.meta.url), { recursive: true, encoding: "utf8" }).filter(name => name.endsWith(".ts"));
  const sources = names.map(name => readFileSync(new URL(`../src/${name}`, import.meta.url), "utf8"));
  const code = sources.join("\n");
  // Those whose names are put together: problems of the screen, and the four endings.
  const made = /^(cover_(small|size|zoom|monitor|pinch)|(completed|screened_out|full|failed)_(title|text))$/;
  const idle = Object.keys(all["en.json"]).filter(key => key !== "trial" && !made.test(key) && !code.includes(`"${key}"`));
  assert.deepEqual(idle, []);
});

test("places are filled in, and an unknown one stays", () => {
  assert.equal(fill("{a} of {b}", { a: 1 }), "1 of {b}");
});

test("a person's language is found, or the study's own is taken", () => {
  assert.equal(choose(["de-AT", "en"], ["en", "de"], "en"), "de");
  assert.equal(choose(["fr"], ["en", "de"], "de"), "de");
  assert.equal(choose(["en-GB"], ["de", "en-US"], "de"), "en-US");
});

test("the languages that the server knows of are those with texts", () => {
  assert.deepEqual(Object.keys(all).map(name => name.split(".")[0]).sort(), [...constants.languages].sort());
});
