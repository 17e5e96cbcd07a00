/** The page's texts: one file of `texts/` per language. */

import { fill, type Texts as TrialTexts } from "../flicker-jnd/texts.ts";
import de from "../texts/de.json" with { type: "json" };
import en from "../texts/en.json" with { type: "json" };

export type Key = Exclude<keyof typeof en, "trial">;

const ALL: Record<string, typeof en> = { en, de };

export class Language {
  readonly code: string;
  readonly #texts: typeof en;

  /** The page falls back to English for languages it does not have; the study's own texts may have more. */
  constructor(code: string) {
    this.code = code;
    this.#texts = ALL[code.split("-")[0]] ?? en;
  }

  say(key: Key, values: Record<string, string | number> = {}): string {
    return fill(this.#texts[key], values);
  }

  get trial(): TrialTexts {
    return this.#texts.trial;
  }
}

/** The study's language that fits a person best. */
export function choose(wanted: readonly string[], offered: readonly string[], fallback: string): string {
  for (const tag of wanted) {
    const match = offered.find(code => code === tag) ?? offered.find(code => code.split("-")[0] === tag.split("-")[0]);
    if (match) return match;
  }
  return fallback;
}
