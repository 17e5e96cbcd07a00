/** Where a page from the disk keeps answers: in the browser's database, or in memory where the browser refuses that. */

import { committed, wait } from "../kept.ts";
import type { StudyEvent } from "../protocol.ts";

const NAME = "pixq-study-offline";

/** Another tab has stored an event under this number. */
export class Taken extends Error {}

async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("events", { keyPath: ["session", "number"] });
    request.result.createObjectStore("sessions");
  };
  return wait(request);
}

/** A name that nobody guesses. The letter keeps a spreadsheet from taking it for a number. */
function name(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `p${Array.from(bytes, each => each.toString(16).padStart(2, "0")).join("")}`;
}

/** The events of one session with one file. */
export class Shelf {
  readonly #file: string;
  readonly #database: Promise<IDBDatabase | null>;
  #session = "";
  #events: StudyEvent[] = [];
  #keeps = true;

  /** @param file What tells this file from others that the browser opened: all files may share a database. */
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
  get keeps(): boolean {
    return this.#keeps;
  }

  /** Take up what there is, or begin. */
  async begin(): Promise<void> {
    this.#session = name();
    try {
      const database = await this.#database;
      if (!database) throw new Error("there is no database");
      const transaction = database.transaction(["sessions", "events"], "readwrite", { durability: "strict" });
      const done = committed(transaction);
      const sessions = transaction.objectStore("sessions");
      const known: string | undefined = await wait(sessions.get(this.#file));
      if (known) {
        this.#session = known;
        const rows: (StudyEvent & { session: string })[] = await wait(transaction.objectStore("events").getAll(this.#range()));
        this.#events = rows.map(({ session: _, ...event }) => event);
      } else sessions.put(this.#session, this.#file);
      await done;
    } catch {
      this.#keeps = false;
    }
  }

  /** Keep more events. @throws Taken */
  async add(events: readonly StudyEvent[]): Promise<void> {
    const database = this.#keeps ? await this.#database : null;
    if (database) {
      try {
        const transaction = database.transaction("events", "readwrite", { durability: "strict" });
        const done = committed(transaction);
        for (const event of events) transaction.objectStore("events").add({ ...event, session: this.#session });
        await done;
      } catch (error) {
        if (error instanceof DOMException && error.name === "ConstraintError") throw new Taken();
        // A full disk, or a browser that has thought better of it: the page goes on, and says so.
        this.#keeps = false;
      }
    }
    this.#events.push(...events);
  }

  /** Nothing stays, and the next page begins as somebody else. */
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
