/** What the browser keeps over a reload: events that the server has not confirmed, and the calibration. */

import type { Environment } from "./checks.ts";
import type { Keeper, Pending } from "./queue.ts";

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

/** Committed, and not only asked for: a page that is left before takes what was asked for with it. */
export function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the browser's database failed"));
  });
}

/** Asynchronous, since a page from the disk may be refused a database before there is a request. */
async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(NAME, 2);
  request.onupgradeneeded = () => {
    // The first version kept events by their number alone.
    for (const name of request.result.objectStoreNames) request.result.deleteObjectStore(name);
    request.result.createObjectStore("events", { keyPath: ["token", "page", "place"] });
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

  /** Nothing, where there is no database. */
  async #do(name: "events" | "facts", job: (store: IDBObjectStore) => void, durability: IDBTransactionDurability = "relaxed"): Promise<void> {
    const transaction = (await this.#database)?.transaction(name, "readwrite", { durability });
    if (!transaction) return;
    const done = committed(transaction);
    job(transaction.objectStore(name));
    await done;
  }

  async #read<T>(name: "events" | "facts", job: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | null> {
    const transaction = (await this.#database)?.transaction(name, "readonly");
    return transaction ? wait(job(transaction.objectStore(name))) : null;
  }

  /** Keys of this session's events: texts and numbers are less than arrays. */
  #range(): IDBKeyRange {
    return IDBKeyRange.bound([this.#token], [this.#token, []]);
  }

  async load(): Promise<Pending[]> {
    const rows: (Pending & { token: string })[] = (await this.#read("events", store => store.getAll(this.#range()))) ?? [];
    return rows.map(({ token: _, ...event }) => event);
  }

  put(events: readonly Pending[]): Promise<void> {
    // As they are now, and not when the database gets to it: they may have numbers by then that are not kept yet.
    const rows = events.map(event => ({ ...event, token: this.#token }));
    return this.#do("events", store => {
      for (const row of rows) store.put(row);
    }, "strict");
  }

  drop(events: readonly Pending[]): Promise<void> {
    return this.#do("events", store => {
      for (const { page, place } of events) store.delete([this.#token, page, place]);
    });
  }

  calibration(): Promise<Calibration | null> {
    return this.#read<Calibration | undefined>("facts", store => store.get(`${this.#token} calibration`)).then(found => found ?? null);
  }

  keepCalibration(calibration: Calibration): Promise<void> {
    return this.#do("facts", store => store.put(calibration, `${this.#token} calibration`));
  }

  dropCalibration(): Promise<void> {
    return this.#do("facts", store => store.delete(`${this.#token} calibration`));
  }

  /** After the last confirmation nothing of the session stays. */
  async forget(): Promise<void> {
    await this.#do("events", store => store.delete(this.#range()));
    await this.dropCalibration();
  }
}
