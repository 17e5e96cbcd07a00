/** A study in one file: the page itself does what a server would do. */

import type { Api } from "../api.ts";
import type { PublicStudy, Started, State, Stored, StudyEvent } from "../protocol.ts";
import { Refused } from "../queue.ts";
import { advance, BEGIN, type SessionPlan, type Item, type Progress, type TrainingItem } from "./state_machine.ts";
import { NumberTaken, SessionStore } from "./session_store.ts";

/** What `pixq study build --offline` writes into the file. */
export interface StudyFile {
  seal: string;
  number: number;
  /** The language the page begins in; null: the browser's. */
  language: string | null;
  study: PublicStudy;
  training: TrainingItem[];
  trials: Item[];
}

export class OfflineApi implements Api {
  readonly file: StudyFile;
  readonly store: SessionStore;
  readonly #plan: SessionPlan;
  #progress: Progress = BEGIN;
  #onNotStored: () => void;

  /** @param onNotStored Called once it is known that a reload would lose the answers. */
  constructor(file: StudyFile, onNotStored: () => void) {
    this.file = file;
    this.#plan = file;
    this.#onNotStored = onNotStored;
    this.store = new SessionStore(file.seal);
  }

  async start(): Promise<Started> {
    await this.store.begin();
    for (const event of this.store.events) [this.#progress] = advance(this.#plan, this.#progress, event);
    this.#reportStorage();
    return { token: this.store.session, study: this.file.study, state: this.#state() };
  }

  async send(events: StudyEvent[]): Promise<Stored> {
    let progress = this.#progress;
    const fresh = events.filter(event => event.number >= progress.next);
    for (const event of fresh) {
      const [after, refusal] = advance(this.#plan, progress, event);
      if (refusal) throw new Refused(refusal, 409, this.#progress.next - 1, event.number);
      progress = after;
    }
    try {
      await this.store.add(fresh);
    } catch (error) {
      if (error instanceof NumberTaken) throw new Refused("another tab of this file has gone on", 409);
      throw error;
    }
    this.#progress = progress;
    this.#reportStorage();
    return { stored: progress.next - 1, state: this.#state() };
  }

  async image(key: string): Promise<Blob> {
    const script = document.getElementById(key);
    if (!(script instanceof HTMLScriptElement)) throw new Error("this image is not in the file");
    const bytes = Uint8Array.from(atob(script.text.trim()), character => character.charCodeAt(0));
    return new Blob([bytes], { type: script.dataset.media ?? "" });
  }

  /** Report once that nothing is stored. */
  #reportStorage(): void {
    if (this.store.persists) return;
    this.#onNotStored();
    this.#onNotStored = () => {};
  }

  #state(): State {
    const { step, next, index, feedback } = this.#progress;
    const state: State = { step, next, index, of: 0, feedback };
    if (step !== "training" && step !== "trial") return state;
    const items: readonly Item[] = step === "training" ? this.#plan.training : this.#plan.trials;
    const { key, width, height, levels } = items[index];
    const image = (level: number) => `${key}.${level}`;
    return {
      ...state,
      of: items.length,
      trial: {
        key, kind: step, width, height, clicks: this.#plan.study.clicks, reference: image(0),
        levels: levels.map(level => ({ level, image: image(level) })),
        // Everything is in this file.
        preload: [],
      },
    };
  }
}
