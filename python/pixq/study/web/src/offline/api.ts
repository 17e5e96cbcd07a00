/** A study in one file: what a server would say and keep, said and kept by the page itself. */

import type { Api } from "../api.ts";
import type { PublicStudy, Started, State, Stored, StudyEvent } from "../protocol.ts";
import { Refused } from "../queue.ts";
import { advance, BEGIN, type SessionPlan, type Item, type Progress, type TrainingItem } from "./flow.ts";
import { Shelf, Taken } from "./shelf.ts";

/** What `pixq study build --offline` writes into the file. */
export interface StudyFile {
  seal: string;
  number: number;
  /** That the page begins in; null: the browser's. */
  language: string | null;
  study: PublicStudy;
  training: TrainingItem[];
  trials: Item[];
}

export class OfflineApi implements Api {
  readonly file: StudyFile;
  readonly shelf: Shelf;
  readonly #course: SessionPlan;
  #progress: Progress = BEGIN;
  #onUnkept: () => void;

  /** @param onUnkept Called when it turns out that a reload would find nothing. */
  constructor(file: StudyFile, onUnkept: () => void) {
    this.file = file;
    this.#course = file;
    this.#onUnkept = onUnkept;
    this.shelf = new Shelf(file.seal);
  }

  async start(): Promise<Started> {
    await this.shelf.begin();
    for (const event of this.shelf.events) [this.#progress] = advance(this.#course, this.#progress, event);
    this.#look();
    return { token: this.shelf.session, study: this.file.study, state: this.#state() };
  }

  async send(events: StudyEvent[]): Promise<Stored> {
    let progress = this.#progress;
    const fresh = events.filter(event => event.number >= progress.next);
    for (const event of fresh) {
      const [after, wrong] = advance(this.#course, progress, event);
      if (wrong) throw new Refused(wrong, 409, this.#progress.next - 1, event.number);
      progress = after;
    }
    try {
      await this.shelf.add(fresh);
    } catch (error) {
      if (error instanceof Taken) throw new Refused("another tab of this file has gone on", 409);
      throw error;
    }
    this.#progress = progress;
    this.#look();
    return { stored: progress.next - 1, state: this.#state() };
  }

  async image(key: string): Promise<Blob> {
    const found = document.getElementById(key);
    if (!(found instanceof HTMLScriptElement)) throw new Error("this image is not in the file");
    const bytes = Uint8Array.from(atob(found.text.trim()), each => each.charCodeAt(0));
    return new Blob([bytes], { type: found.dataset.media ?? "" });
  }

  /** Told once. */
  #look(): void {
    if (this.shelf.keeps) return;
    this.#onUnkept();
    this.#onUnkept = () => {};
  }

  #state(): State {
    const { step, next, index, feedback } = this.#progress;
    const state: State = { step, next, index, of: 0, feedback };
    if (step !== "training" && step !== "trial") return state;
    const items: readonly Item[] = step === "training" ? this.#course.training : this.#course.trials;
    const { key, width, height, levels } = items[index];
    const image = (level: number) => `${key}.${level}`;
    return {
      ...state,
      of: items.length,
      trial: {
        key, kind: step, width, height, clicks: this.#course.study.clicks, reference: image(0),
        levels: levels.map(level => ({ level, image: image(level) })),
        // All is here.
        preload: [],
      },
    };
  }
}
