/** What the browser stores across a reload: events that the server has not confirmed, and the calibration. */

import type { Environment } from "./checks.ts";
import type { Keeper, Pending } from "./queue.ts";

const NAME = "pixq-study";

export interface Calibration {
  px_per_cm: number;
  environment: Environment;
}

/** The result of a request, as a promise. */
export function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the browser's database failed"));
  });
}

/** Resolves when a transaction is committed: what was only requested is lost when the page is left. */
export function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the browser's database failed"));
  });
}

/** Asynchronous, because a page from the disk may be refused a database before there is a request. */
async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(NAME, 2);
  request.onupgradeneeded = () => {
    // The first version stored events by their number alone.
    for (const name of request.result.objectStoreNames) request.result.deleteObjectStore(name);
    request.result.createObjectStore("events", { keyPath: ["token", "page", "place"] });
    request.result.createObjectStore("facts");
  };
  return resultOf(request);
}

/** The storage of one session. Where the browser stores nothing (a private window), every method does nothing. */
export class PageStorage implements Keeper {
  readonly #token: string;
  readonly #database: Promise<IDBDatabase | null>;

  constructor(token: string) {
    this.#token = token;
    this.#database = open().catch(() => null);
  }

  /** Does nothing where there is no database. */
  async #write(name: "events" | "facts", job: (store: IDBObjectStore) => void, durability: IDBTransactionDurability = "relaxed"): Promise<void> {
    const transaction = (await this.#database)?.transaction(name, "readwrite", { durability });
    if (!transaction) return;
    const done = committed(transaction);
    job(transaction.objectStore(name));
    await done;
  }

  async #read<T>(name: "events" | "facts", job: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | null> {
    const transaction = (await this.#database)?.transaction(name, "readonly");
    return transaction ? resultOf(job(transaction.objectStore(name))) : null;
  }

  /** The keys of this session's events: texts and numbers sort before arrays. */
  #range(): IDBKeyRange {
    return IDBKeyRange.bound([this.#token], [this.#token, []]);
  }

  async load(): Promise<Pending[]> {
    const rows: (Pending & { token: string })[] = (await this.#read("events", store => store.getAll(this.#range()))) ?? [];
    return rows.map(({ token: _, ...event }) => event);
  }

  put(events: readonly Pending[]): Promise<void> {
    // Copied now: by the time the database gets to it, they may have numbers that are not stored yet.
    const rows = events.map(event => ({ ...event, token: this.#token }));
    return this.#write("events", store => {
      for (const row of rows) store.put(row);
    }, "strict");
  }

  drop(events: readonly Pending[]): Promise<void> {
    return this.#write("events", store => {
      for (const { page, place } of events) store.delete([this.#token, page, place]);
    });
  }

  calibration(): Promise<Calibration | null> {
    return this.#read<Calibration | undefined>("facts", store => store.get(`${this.#token} calibration`)).then(calibration => calibration ?? null);
  }

  saveCalibration(calibration: Calibration): Promise<void> {
    return this.#write("facts", store => store.put(calibration, `${this.#token} calibration`));
  }

  dropCalibration(): Promise<void> {
    return this.#write("facts", store => store.delete(`${this.#token} calibration`));
  }

  /** Delete everything about the session, after the last confirmation. */
  async forget(): Promise<void> {
    await this.#write("events", store => store.delete(this.#range()));
    await this.dropCalibration();
  }
}
