/** What the browser keeps over a reload: events that the server has not confirmed, and the calibration. */

import type { Environment } from "./checks.ts";
import type { StudyEvent } from "./protocol.ts";
import type { Keeper } from "./queue.ts";

const NAME = "pixq-study";

export interface Calibration {
  px_per_cm: number;
  environment: Environment;
}

/** What a request comes to. */
export function wait<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the browser's database failed"));
  });
}

/** Asynchronous, since a page from the disk may be refused a database before there is a request. */
async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("events", { keyPath: ["token", "number"] });
    request.result.createObjectStore("facts");
  };
  return wait(request);
}

/** Of one session. Where the browser keeps nothing (a private window), all of it does nothing. */
export class Kept implements Keeper {
  readonly #token: string;
  readonly #database: Promise<IDBDatabase | null>;

  constructor(token: string) {
    this.#token = token;
    this.#database = open().catch(() => null);
  }

  async #store(name: "events" | "facts", mode: IDBTransactionMode): Promise<IDBObjectStore | null> {
    return (await this.#database)?.transaction(name, mode).objectStore(name) ?? null;
  }

  /** Keys of this session's events, up to a number. */
  #range(most: number): IDBKeyRange {
    return IDBKeyRange.bound([this.#token, 0], [this.#token, most]);
  }

  async load(): Promise<StudyEvent[]> {
    const store = await this.#store("events", "readonly");
    if (!store) return [];
    const rows: (StudyEvent & { token: string })[] = await wait(store.getAll(this.#range(Number.MAX_SAFE_INTEGER)));
    return rows.map(({ token: _, ...event }) => event);
  }

  async add(event: StudyEvent): Promise<void> {
    const store = await this.#store("events", "readwrite");
    if (store) await wait(store.put({ ...event, token: this.#token }));
  }

  async drop(number: number): Promise<void> {
    const store = await this.#store("events", "readwrite");
    if (store && number >= 0) await wait(store.delete(this.#range(number)));
  }

  async calibration(): Promise<Calibration | null> {
    const store = await this.#store("facts", "readonly");
    return store ? ((await wait(store.get(`${this.#token} calibration`))) ?? null) : null;
  }

  async keepCalibration(calibration: Calibration): Promise<void> {
    const store = await this.#store("facts", "readwrite");
    if (store) await wait(store.put(calibration, `${this.#token} calibration`));
  }

  async dropCalibration(): Promise<void> {
    const store = await this.#store("facts", "readwrite");
    if (store) await wait(store.delete(`${this.#token} calibration`));
  }

  /** After the last confirmation nothing of the session stays. */
  async forget(): Promise<void> {
    await this.drop(Number.MAX_SAFE_INTEGER);
    await this.dropCalibration();
  }
}
