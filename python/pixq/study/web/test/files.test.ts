import assert from "node:assert/strict";
import { test } from "node:test";

import formulaCharacters from "../../../io/formula_characters.json" with { type: "json" };
import { asCsv, asJson, type Facts } from "../src/offline/files.ts";
import type { StudyEvent } from "../src/protocol.ts";

const facts: Facts = { study: "=cmd()", study_version: "-1", seal: "ab", number: 3, session: "p0" };
const said = { remarks: '=1+1; "ä"\r\n,</script>' };
const events: StudyEvent[] = [
  { number: 0, kind: "consent", at: 5, wall: "2026-01-01T00:00:00Z", data: { agreed: true } },
  { number: 1, kind: "trial", at: 7.5, wall: "", data: { key: "12e4", pjnd: 10, points: [[1.5, 2], [0, 3]], track: [] } },
  { number: 2, kind: "survey", at: 9, wall: "", data: said },
];

test("the JSON has everything, and says how much that is", () => {
  const { events: found, count, format, ...rest } = JSON.parse(asJson(facts, events));
  assert.deepEqual(found, events);
  assert.deepEqual([count, format], [3, "pixq-offline-answers"]);
  assert.deepEqual(rest, { format_version: 1, ...facts });
  assert.deepEqual(JSON.parse(asJson(facts, [])).events, []);
});

/** Cells of a CSV in which every cell is quoted. */
function cells(csv: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, end] of csv.slice(1).matchAll(/"((?:[^"]|"")*)"(,|\r\n)/g)) {
    rows.at(-1)?.push(quoted.replaceAll('""', '"'));
    if (end !== ",") rows.push([]);
  }
  rows.pop();
  return rows;
}

test("the CSV has everything in its last column, and what people read in those before", () => {
  const csv = asCsv(facts, events);
  assert.equal(csv[0], "\ufeff");
  const [head, ...rows] = cells(csv);
  assert.deepEqual(new Set([head, ...rows].map(row => row.length)), new Set([16]));
  assert.deepEqual(rows.map(row => JSON.parse(row[15])), events.map(event => event.data));
  assert.deepEqual(rows.map(row => row.slice(8, 12)), events.map(({ number, kind, at, wall }) => [String(number), kind, String(at), wall]));
  assert.deepEqual(rows[1].slice(12, 15), ["12e4", "10", "1.5 2; 0 3"]);
  assert.deepEqual(rows[2].slice(12, 15), ["", "", ""]);
});

test("no cell is a formula to a spreadsheet", () => {
  for (const mark of formulaCharacters)
    for (const row of cells(asCsv({ ...facts, study: `${mark}cmd()` }, events)))
      for (const cell of row) assert.doesNotMatch(cell, /^[=+\-@\t\r＝＋－＠]/);
});
