/** Where a page from the disk stores answers: the browser's database, or memory where the browser refuses that. */

import { committed, resultOf } from "../storage.ts";
import type { StudyEvent } from "../protocol.ts";

const NAME = "pixq-study-offline";

/** Another tab has already stored an event under this number. */
export class NumberTaken extends Error {}

async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("events", { keyPath: ["session", "number"] });
    request.result.createObjectStore("sessions");
  };
  return resultOf(request);
}

/** A session name that nobody can guess. Its first letter keeps a spreadsheet from reading it as a number. */
function randomName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `p${Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The events of one session with one file. */
export class SessionStore {
  readonly #file: string;
  readonly #database: Promise<IDBDatabase | null>;
  #session = "";
  #events: StudyEvent[] = [];
  #persists = true;

  /** @param file What distinguishes this file from others that the browser opened: all files may share a database. */
  constructor(file: string) {
    this.#file = file;
    this.#database = open().catch(() => null);
  }

  get session(): string {
    return this.#session;
  }

  get events(): readonly StudyEvent[] {
    return this.#events;
  }

  /** Whether a reload finds everything again. */
  get persists(): boolean {
    return this.#persists;
  }

  /** Continue the stored session, or begin one. */
  async begin(): Promise<void> {
    this.#session = randomName();
    try {
      const database = await this.#database;
      if (!database) throw new Error("there is no database");
      const transaction = database.transaction(["sessions", "events"], "readwrite", { durability: "strict" });
      const done = committed(transaction);
      const sessions = transaction.objectStore("sessions");
      const stored: string | undefined = await resultOf(sessions.get(this.#file));
      if (stored) {
        this.#session = stored;
        const rows: (StudyEvent & { session: string })[] = await resultOf(transaction.objectStore("events").getAll(this.#range()));
        this.#events = rows.map(({ session: _, ...event }) => event);
      } else sessions.put(this.#session, this.#file);
      await done;
    } catch {
      this.#persists = false;
    }
  }

  /** Store more events. @throws NumberTaken */
  async add(events: readonly StudyEvent[]): Promise<void> {
    const database = this.#persists ? await this.#database : null;
    if (database) {
      try {
        const transaction = database.transaction("events", "readwrite", { durability: "strict" });
        const done = committed(transaction);
        for (const event of events) transaction.objectStore("events").add({ ...event, session: this.#session });
        await done;
      } catch (error) {
        if (error instanceof DOMException && error.name === "ConstraintError") throw new NumberTaken();
        // A full disk, or a browser that changed its mind: the page goes on and says so.
        this.#persists = false;
      }
    }
    this.#events.push(...events);
  }

  /** Delete everything: the next page begins as somebody else. */
  async forget(): Promise<void> {
    this.#events = [];
    const database = await this.#database;
    if (!database) return;
    const transaction = database.transaction(["sessions", "events"], "readwrite");
    const done = committed(transaction);
    transaction.objectStore("sessions").delete(this.#file);
    transaction.objectStore("events").delete(this.#range());
    await done;
  }

  #range(): IDBKeyRange {
    return IDBKeyRange.bound([this.#session, 0], [this.#session, Number.MAX_SAFE_INTEGER]);
  }
}
