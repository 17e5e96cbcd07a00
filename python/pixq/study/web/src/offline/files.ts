/** The files that a person saves at the end, JSON or CSV. `pixq study import` reads both; both hold everything. Pure. */

import formulaCharacters from "../../../../io/formula_characters.json" with { type: "json" };
import constants from "../../../constants.json" with { type: "json" };
import type { StudyEvent } from "../protocol.ts";

const { format: FORMAT, version: VERSION } = constants.offline_answers;

/** What a file holds besides the events. */
export interface Facts {
  study: string;
  study_version: string;
  seal: string;
  number: number;
  session: string;
}

export function asJson(facts: Facts, events: readonly StudyEvent[]): string {
  const { study, study_version, seal, number, session } = facts;
  const head = { format: FORMAT, format_version: VERSION, study, study_version, seal, number, session, count: events.length };
  // One line per event, so that people can read it.
  const lines = events.map(({ number, kind, at, wall, data }) => JSON.stringify({ number, kind, at, wall, data }));
  return `${JSON.stringify(head, null, 1).slice(0, -2)},\n "events": [\n  ${lines.join(",\n  ")}\n ]\n}\n`;
}

/** A cell of the CSV; an apostrophe keeps a spreadsheet from computing what looks like a formula. */
function cell(value: string | number): string {
  const text = String(value);
  const computed = text !== "" && formulaCharacters.includes(text[0]);
  return `"${(computed ? `'${text}` : text).replaceAll('"', '""')}"`;
}

const HEAD = [
  "format", "format_version", "study", "study_version", "seal", "number", "session", "count",
  "event", "kind", "at", "wall", "image", "level", "points_yx", "data",
];

/** One row per event: the last column has all of it as JSON, the columns before it what people want to read. */
export function asCsv(facts: Facts, events: readonly StudyEvent[]): string {
  const { study, study_version, seal, number, session } = facts;
  const rows = events.map(event => {
    const { key, pjnd, points } = event.data;
    const answer = Array.isArray(points);
    return [
      FORMAT, VERSION, study, study_version, seal, number, session, events.length,
      event.number, event.kind, event.at, event.wall,
      answer ? String(key) : "", answer ? String(pjnd) : "",
      answer ? points.map((point: unknown) => String(point).replace(",", " ")).join("; ") : "",
      JSON.stringify(event.data),
    ];
  });
  // The byte order mark tells spreadsheets that the file is UTF-8.
  return `\ufeff${[HEAD, ...rows].map(row => `${row.map(cell).join(",")}\r\n`).join("")}`;
}
