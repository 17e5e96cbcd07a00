/** A session: what the server asks for next, and events on their way to it. */

import type { Api } from "./api.ts";
import { PageStorage } from "./storage.ts";
import type { Kind, PublicStudy, Started, State } from "./protocol.ts";
import { Queue, type Refused } from "./queue.ts";

export class Session {
  readonly study: PublicStudy;
  readonly storage: PageStorage;
  /** Whether the server has this session. */
  readonly open: boolean;
  readonly #queue: Queue;
  #state: State;

  constructor(api: Api, started: Started, callbacks: { onLine: (connected: boolean) => void; onRefused: (error: Refused) => void }) {
    this.study = started.study;
    this.#state = started.state;
    this.open = started.token !== "";
    this.storage = new PageStorage(started.token);
    this.#queue = new Queue({
      keeper: this.storage,
      send: events => api.send(events),
      onState: state => (this.#state = state),
      ...callbacks,
    });
    window.addEventListener("online", () => this.#queue.hurry());
    window.addEventListener("beforeunload", event => {
      // The next page sends what is stored; still, a person should know that something is on its way.
      if (this.#queue.pending) event.preventDefault();
    });
  }

  /** Send what an earlier page left behind. After that, `state` is where the session is. */
  begin(): Promise<void> {
    return this.#queue.begin(this.#state.next);
  }

  get state(): State {
    return this.#state;
  }

  /** Record an event without waiting for it to be stored. */
  log(kind: Kind, data: Record<string, unknown> = {}): void {
    this.#queue.add(kind, data);
  }

  /** Wait until everything is confirmed; `state` is then what comes next. */
  confirmed(): Promise<void> {
    return this.#queue.stored();
  }

  /** Record an event and wait until it is stored. */
  async submit(kind: Kind, data: Record<string, unknown> = {}): Promise<void> {
    this.#queue.add(kind, data);
    await this.confirmed();
  }
}
