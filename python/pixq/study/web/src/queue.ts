/**
 * Events on their way to the server: stored until they are confirmed, numbered when they are sent, in order.
 *
 * Once an event may have been sent under a number, it keeps that number: sent again, it is stored only once. If the server
 * has another page's event under this number, the event gets a new one. An event that does not fit the session any more,
 * because another page has continued it, becomes a note: nothing that is stored here can block a session for good.
 * Nothing here touches the page: the storage, the connection and the clock are passed in.
 */

import { backoff } from "../flicker-jnd/order.ts";
import type { Kind, State, Stored, StudyEvent } from "./protocol.ts";

/** An event that is not confirmed yet. */
export interface Pending {
  /** The name of the page that made it; names of earlier pages sort before those of later ones. */
  page: string;
  /** Its position among the events of its page. */
  place: number;
  /** Null until it is sent. */
  number: number | null;
  kind: Kind;
  at: number;
  wall: string;
  data: Record<string, unknown>;
}

/** Stores events across a reload. */
export interface Keeper {
  /** All stored events, by page and place. */
  load(): Promise<Pending[]>;
  /** Store events, or update stored ones: all or none, and permanently once this returns. */
  put(events: readonly Pending[]): Promise<void>;
  drop(events: readonly Pending[]): Promise<void>;
}

/** The server refuses the events, however often they are sent. */
export class Refused extends Error {
  readonly status: number;
  /** The last number that the server has stored; null if it doesn't say. */
  readonly stored: number | null;
  /** The number of the event that was refused. */
  readonly number: number | null;

  constructor(message: string, status: number, stored: number | null = null, number: number | null = null) {
    super(message);
    this.status = status;
    this.stored = stored;
    this.number = number;
  }
}

export interface QueueOptions {
  keeper: Keeper;
  /** Fails with `Refused`, or with another error if it is worth trying again. */
  send: (events: StudyEvent[]) => Promise<Stored>;
  onState: (state: State) => void;
  /** Called after each try. */
  onLine: (connected: boolean) => void;
  onRefused: (error: Refused) => void;
  wait?: (ms: number) => Promise<void>;
  now?: () => number;
  wall?: () => string;
}

/** Events per request, and their size as JSON. */
const MOST = 25;
const LARGEST = 96 * 1024;
/** Consecutive refusals after which the next try does not wait. */
const AT_ONCE = 3;
/** Marks the note about a refused event. */
const REFUSED = "refused";

export class Queue {
  readonly #options: Required<QueueOptions>;
  readonly #page: string;
  #events: Pending[] = [];
  #place = 0;
  #next = 0;
  #most = MOST;
  #sending: Promise<void> | null = null;
  #wake: () => void = () => {};
  #waiting: { last: Pending; resolve: () => void }[] = [];
  /** The event that was refused, and the note that replaced it. */
  #doubt: { note: Pending; error: Refused; kind: Kind; key: unknown } | null = null;
  #dead = false;

  constructor(options: QueueOptions) {
    this.#options = {
      wait: ms => new Promise(done => setTimeout(done, ms)),
      now: () => performance.now(),
      wall: () => new Date().toISOString(),
      ...options,
    };
    this.#page = `${this.#options.wall()} ${Math.random().toString(36).slice(2)}`;
  }

  /**
   * Load the events that earlier pages left, and send them.
   * @param next The number of the first event that the server does not have.
   */
  async begin(next: number): Promise<void> {
    const stored = await this.#options.keeper.load().catch(() => []);
    this.#next = next;
    // Events that the server may have already keep their numbers, whatever `next` is: only the server knows whose they are.
    this.#events = [...stored.filter(event => event.number !== null), ...stored.filter(event => event.number === null)];
    await this.stored();
  }

  /** The number of events that are not confirmed. */
  get pending(): number {
    return this.#events.length;
  }

  /** Store an event and send it. */
  add(kind: Kind, data: Record<string, unknown>): void {
    const [at, wall] = [Math.round(this.#options.now()), this.#options.wall()];
    const event = { page: this.#page, place: this.#place++, number: null, kind, at, wall, data };
    this.#events.push(event);
    // If it can't be stored (a full disk, a private window), it is sent all the same.
    void this.#options.keeper.put([event]).catch(() => {});
    this.#start();
  }

  /** Wait until the server has confirmed all current events. */
  stored(): Promise<void> {
    const last = this.#events.at(-1);
    if (!last) return Promise.resolve();
    this.#start();
    return new Promise(resolve => this.#waiting.push({ last, resolve }));
  }

  /** Try again at once: the connection is back. */
  hurry(): void {
    this.#wake();
  }

  #start(): void {
    if (this.#dead || this.#sending) return;
    // Events that are added together go in one request.
    this.#sending = Promise.resolve().then(() => this.#run()).finally(() => {
      this.#sending = null;
      if (this.#events.length && !this.#dead) this.#start();
    });
  }

  /** The next events to send: those of one page with consecutive numbers, or those that get numbers now. */
  async #batch(): Promise<Pending[]> {
    const batch: Pending[] = [];
    const [{ page, number }] = this.#events;
    let size = 0;
    for (const event of this.#events.slice(0, this.#most)) {
      size += JSON.stringify(event).length;
      if (batch.length && size > LARGEST) break;
      if (event.number !== (number === null ? null : number + batch.length)) break;
      if (number !== null && event.page !== page) break;
      batch.push(event);
    }
    if (number !== null) return batch;
    for (const event of batch) event.number = this.#next++;
    const { keeper } = this.#options;
    // An event sent under a number that is not stored here could be stored twice, by this page and by the next one.
    await keeper.put(batch).catch(() => keeper.drop(batch)).catch(() => {});
    return batch;
  }

  async #run(): Promise<void> {
    let [tries, refusals] = [0, 0];
    while (this.#events.length && !this.#dead) {
      const batch = await this.#batch();
      let answer: Stored | Refused;
      try {
        answer = await this.#options.send(batch.map(({ page: _, place: __, ...event }) => event as StudyEvent));
      } catch (error) {
        if (!(error instanceof Refused)) {
          this.#options.onLine(false);
          await this.#pause(backoff(++tries, Math.random()));
          continue;
        }
        answer = error;
      }
      tries = 0;
      this.#options.onLine(true);
      if (!(answer instanceof Refused)) {
        refusals = 0;
        this.#most = MOST;
        this.#next = answer.stored + 1;
        this.#options.onState(answer.state);
        await this.#confirm(batch);
        this.#checkDoubt(batch, answer.state);
      } else if (!(await this.#adapt(batch, answer))) this.#stop(answer);
      else if (++refusals > AT_ONCE) await this.#pause(backoff(refusals - AT_ONCE, Math.random()));
      this.#resolveWaiting();
    }
  }

  async #pause(ms: number): Promise<void> {
    const woken = new Promise<void>(resolve => (this.#wake = resolve));
    await Promise.race([this.#options.wait(ms), woken]);
    this.#wake = () => {};
  }

  /** Forget events that the server has stored. */
  async #confirm(events: readonly Pending[]): Promise<void> {
    this.#events = this.#events.filter(event => !events.includes(event));
    await this.#options.keeper.drop(events).catch(() => {});
  }

  /** Resolve the waiting promises whose events are confirmed; none after a final refusal. */
  #resolveWaiting(): void {
    if (this.#dead) return;
    const done = this.#waiting.filter(({ last }) => !this.#events.includes(last));
    this.#waiting = this.#waiting.filter(({ last }) => this.#events.includes(last));
    for (const { resolve } of done) resolve();
  }

  /** Adapt the events to a refusal. @returns Whether it is worth another try. */
  async #adapt(batch: readonly Pending[], error: Refused): Promise<boolean> {
    const { status, stored, number } = error;
    if (status === 409 && stored !== null) {
      this.#next = stored + 1;
      const index = batch.findIndex(event => event.number === number);
      if (index >= 0 && batch[index].number as number > stored) return this.#replaceByNote(batch[index], error, { said: batch[index].data });
      // Another page's event has the number and the events before it are stored, or earlier events are missing.
      await this.#confirm(batch.slice(0, Math.max(index, 0)));
      for (const event of batch.slice(Math.max(index, 0))) event.number = null;
      return true;
    }
    if (status !== 413 && status !== 422) return false;
    // One of the events can't be stored at all.
    if (batch.length === 1) return this.#replaceByNote(batch[0], error, {});
    this.#most = 1;
    return true;
  }

  /** Replace an event by a note that it was refused. */
  async #replaceByNote(event: Pending, error: Refused, more: Record<string, unknown>): Promise<boolean> {
    const { kind, data } = event;
    if (kind === "error" && data.what === REFUSED) return false;
    this.#doubt = { note: event, error, kind, key: data.key };
    event.kind = "error";
    event.data = { what: REFUSED, why: error.message, kind, ...more };
    await this.#options.keeper.put([event]).catch(() => {});
    return true;
  }

  /** If the session still waits for the refused answer, no other page gave it: the person has to know. */
  #checkDoubt(batch: readonly Pending[], { step, trial }: State): void {
    const doubt = this.#doubt;
    if (!doubt || !batch.includes(doubt.note)) return;
    this.#doubt = null;
    if (step === doubt.kind && (!trial || trial.key === doubt.key)) this.#stop(doubt.error);
  }

  #stop(error: Refused): void {
    this.#dead = true;
    this.#options.onRefused(error);
  }
}
