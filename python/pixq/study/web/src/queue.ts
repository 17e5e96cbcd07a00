/**
 * Events on their way to the server: kept until they are confirmed, numbered when they are sent, in order and again.
 *
 * A number belongs to an event once it may have been sent under it: again under the same number it is stored once. The
 * server tells where another page's event has it, and then this one is numbered anew. What does not fit where the session
 * is, since another page has gone on with it, becomes a note of that: nothing that is kept can stop a session for good.
 * Nothing here touches a page: where events are kept, how they are sent and the clock are given.
 */

import { backoff } from "../flicker-jnd/order.ts";
import type { Kind, State, Stored, StudyEvent } from "./protocol.ts";

/** An event that is not confirmed. */
export interface Pending {
  /** Tells the page that made it from others, which have other names; earlier ones sort before later ones. */
  page: string;
  /** Among those of its page. */
  place: number;
  /** Null before it is sent. */
  number: number | null;
  kind: Kind;
  at: number;
  wall: string;
  data: Record<string, unknown>;
}

/** What keeps events over a reload. */
export interface Keeper {
  /** By page and place. */
  load(): Promise<Pending[]>;
  /** Keep them, or what has become of them: all or none, and for good once this returns. */
  put(events: readonly Pending[]): Promise<void>;
  drop(events: readonly Pending[]): Promise<void>;
}

/** The server will not take it, however often it is sent. */
export class Refused extends Error {
  readonly status: number;
  /** Where the server is: the last number that is stored; null where it doesn't say. */
  readonly stored: number | null;
  /** Of the event that it is about. */
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
  /** Fails with `Refused`, or with anything else where it is worth another try. */
  send: (events: StudyEvent[]) => Promise<Stored>;
  onState: (state: State) => void;
  /** Whether the last try failed. */
  onLine: (connected: boolean) => void;
  onRefused: (error: Refused) => void;
  wait?: (ms: number) => Promise<void>;
  now?: () => number;
  wall?: () => string;
}

/** Events a request, and their size as JSON. */
const MOST = 25;
const LARGEST = 96 * 1024;
/** Refusals in a row that are answered at once. */
const AT_ONCE = 3;
/** What a note of a refused event says it is. */
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
  /** What was refused, and is now a note. */
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
   * Take up what earlier pages left, and send it.
   * @param next The number of the first event that the server does not have.
   */
  async begin(next: number): Promise<void> {
    const kept = await this.#options.keeper.load().catch(() => []);
    this.#next = next;
    // Those that may be stored already keep their numbers, whatever `next` is: only the server knows whose they are.
    this.#events = [...kept.filter(event => event.number !== null), ...kept.filter(event => event.number === null)];
    await this.stored();
  }

  /** Events that are not confirmed. */
  get pending(): number {
    return this.#events.length;
  }

  /** It is kept, and on its way. */
  add(kind: Kind, data: Record<string, unknown>): void {
    const [at, wall] = [Math.round(this.#options.now()), this.#options.wall()];
    const event = { page: this.#page, place: this.#place++, number: null, kind, at, wall, data };
    this.#events.push(event);
    // If it can't be kept (a full disk, a private window), it is sent all the same.
    void this.#options.keeper.put([event]).catch(() => {});
    this.#start();
  }

  /** Wait until the server has confirmed all that there is now. */
  stored(): Promise<void> {
    const last = this.#events.at(-1);
    if (!last) return Promise.resolve();
    this.#start();
    return new Promise(resolve => this.#waiting.push({ last, resolve }));
  }

  /** Don't wait any longer with the next try: the line is back. */
  hurry(): void {
    this.#wake();
  }

  #start(): void {
    if (this.#dead || this.#sending) return;
    // What is said in one breath goes in one request.
    this.#sending = Promise.resolve().then(() => this.#run()).finally(() => {
      this.#sending = null;
      if (this.#events.length && !this.#dead) this.#start();
    });
  }

  /** The next to send: those of one page whose numbers follow one another, or those that now get one. */
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
    // Sent under a number that is not kept, it could be stored twice, by this page and by the next one.
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
        this.#look(batch, answer.state);
      } else if (!(await this.#mend(batch, answer))) this.#die(answer);
      else if (++refusals > AT_ONCE) await this.#pause(backoff(refusals - AT_ONCE, Math.random()));
      this.#tell();
    }
  }

  async #pause(ms: number): Promise<void> {
    const woken = new Promise<void>(resolve => (this.#wake = resolve));
    await Promise.race([this.#options.wait(ms), woken]);
    this.#wake = () => {};
  }

  /** These are stored. */
  async #confirm(events: readonly Pending[]): Promise<void> {
    this.#events = this.#events.filter(event => !events.includes(event));
    await this.#options.keeper.drop(events).catch(() => {});
  }

  /** Tell those who wait; nobody goes on after a refusal that stays. */
  #tell(): void {
    if (this.#dead) return;
    const done = this.#waiting.filter(({ last }) => !this.#events.includes(last));
    this.#waiting = this.#waiting.filter(({ last }) => this.#events.includes(last));
    for (const { resolve } of done) resolve();
  }

  /** @returns Whether it is worth another try. */
  async #mend(batch: readonly Pending[], error: Refused): Promise<boolean> {
    const { status, stored, number } = error;
    if (status === 409 && stored !== null) {
      this.#next = stored + 1;
      const at = batch.findIndex(event => event.number === number);
      if (at >= 0 && batch[at].number as number > stored) return this.#note(batch[at], error, { said: batch[at].data });
      // Another page's event has the number, and those before it are stored; or some before these are missing.
      await this.#confirm(batch.slice(0, Math.max(at, 0)));
      for (const event of batch.slice(Math.max(at, 0))) event.number = null;
      return true;
    }
    if (status !== 413 && status !== 422) return false;
    // One of them can't be stored at all.
    if (batch.length === 1) return this.#note(batch[0], error, {});
    this.#most = 1;
    return true;
  }

  /** Write down, in place of an event, that it was refused. */
  async #note(event: Pending, error: Refused, more: Record<string, unknown>): Promise<boolean> {
    const { kind, data } = event;
    if (kind === "error" && data.what === REFUSED) return false;
    this.#doubt = { note: event, error, kind, key: data.key };
    event.kind = "error";
    event.data = { what: REFUSED, why: error.message, kind, ...more };
    await this.#options.keeper.put([event]).catch(() => {});
    return true;
  }

  /** Where the session is still at what was refused, it was no other page: a person has to know. */
  #look(batch: readonly Pending[], { step, trial }: State): void {
    const doubt = this.#doubt;
    if (!doubt || !batch.includes(doubt.note)) return;
    this.#doubt = null;
    if (step === doubt.kind && (!trial || trial.key === doubt.key)) this.#die(doubt.error);
  }

  #die(error: Refused): void {
    this.#dead = true;
    this.#options.onRefused(error);
  }
}
