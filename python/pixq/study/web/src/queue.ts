/**
 * Events on their way to the server: numbered, kept until they are confirmed, sent in order and again.
 *
 * Nothing here touches a page: where events are kept, how they are sent and the clock are given.
 */

import { backoff } from "../flicker-jnd/order.ts";
import type { Kind, State, Stored, StudyEvent } from "./protocol.ts";

/** What keeps events over a reload. */
export interface Keeper {
  load(): Promise<StudyEvent[]>;
  add(event: StudyEvent): Promise<void>;
  /** Forget those up to this number. */
  drop(number: number): Promise<void>;
}

/** The server will not take it, however often it is sent. */
export class Refused extends Error {
  readonly status: number;
  readonly stored: number | null;

  constructor(message: string, status: number, stored: number | null = null) {
    super(message);
    this.status = status;
    this.stored = stored;
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

export class Queue {
  readonly #options: Required<QueueOptions>;
  #events: StudyEvent[] = [];
  #next = 0;
  #sending: Promise<void> | null = null;
  #wake: () => void = () => {};
  #waiting: { number: number; resolve: () => void }[] = [];
  #dead = false;

  constructor(options: QueueOptions) {
    this.#options = {
      wait: ms => new Promise(done => setTimeout(done, ms)),
      now: () => performance.now(),
      wall: () => new Date().toISOString(),
      ...options,
    };
  }

  /**
   * Take up what an earlier page left, and send it.
   * @param next The number of the first event that the server does not have.
   */
  async begin(next: number): Promise<void> {
    const kept = (await this.#options.keeper.load()).sort((a, b) => a.number - b.number);
    this.#next = next;
    // What is stored is not sent again, and what no longer joins on (kept by a page of long ago) can't be sent.
    for (const event of kept) {
      if (event.number !== this.#next) continue;
      this.#events.push(event);
      this.#next++;
    }
    await this.#options.keeper.drop(next - 1);
    if (this.#events.length) await this.stored();
  }

  /** Events that are not confirmed. */
  get pending(): number {
    return this.#events.length;
  }

  /** @returns Its number. It is kept, and on its way. */
  add(kind: Kind, data: Record<string, unknown>): number {
    const event = { number: this.#next++, kind, at: Math.round(this.#options.now()), wall: this.#options.wall(), data };
    this.#events.push(event);
    // Kept before it is sent; if it can't be kept (a full disk, a private window), it is sent all the same.
    void this.#options.keeper.add(event).catch(() => {}).then(() => this.#start());
    return event.number;
  }

  /** Wait until the server has confirmed all that there is now. */
  stored(): Promise<void> {
    const last = this.#events.at(-1);
    if (!last) return Promise.resolve();
    this.#start();
    return new Promise(resolve => this.#waiting.push({ number: last.number, resolve }));
  }

  /** Don't wait any longer with the next try: the line is back. */
  hurry(): void {
    this.#wake();
  }

  #start(): void {
    if (this.#dead || this.#sending) return;
    this.#sending = this.#run().finally(() => {
      this.#sending = null;
      if (this.#events.length && !this.#dead) this.#start();
    });
  }

  #batch(): StudyEvent[] {
    const batch: StudyEvent[] = [];
    let size = 0;
    for (const event of this.#events.slice(0, MOST)) {
      size += JSON.stringify(event).length;
      if (batch.length && size > LARGEST) break;
      batch.push(event);
    }
    return batch;
  }

  async #run(): Promise<void> {
    let tries = 0;
    while (this.#events.length) {
      const batch = this.#batch();
      try {
        const { stored, state } = await this.#options.send(batch);
        tries = 0;
        this.#options.onLine(true);
        this.#options.onState(state);
        await this.#confirm(stored);
      } catch (error) {
        if (error instanceof Refused) {
          // A gap, or a part that is there already: go on from where the server is, if that is one of ours.
          const first = batch[0].number;
          if (error.stored !== null && error.stored >= first) {
            await this.#confirm(error.stored);
            continue;
          }
          this.#dead = true;
          this.#options.onRefused(error);
          return;
        }
        this.#options.onLine(false);
        await this.#pause(backoff(++tries, Math.random()));
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    const woken = new Promise<void>(resolve => (this.#wake = resolve));
    await Promise.race([this.#options.wait(ms), woken]);
    this.#wake = () => {};
  }

  async #confirm(stored: number): Promise<void> {
    this.#events = this.#events.filter(event => event.number > stored);
    await this.#options.keeper.drop(stored).catch(() => {});
    const done = this.#waiting.filter(each => each.number <= stored);
    this.#waiting = this.#waiting.filter(each => each.number > stored);
    for (const { resolve } of done) resolve();
  }
}
