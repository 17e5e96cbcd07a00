/** A session: what the server says is next, and events on their way to it. */

import type { Api } from "./api.ts";
import { Kept } from "./kept.ts";
import type { Kind, PublicStudy, Started, State } from "./protocol.ts";
import { Queue, type Refused } from "./queue.ts";

export class Session {
  readonly study: PublicStudy;
  readonly kept: Kept;
  /** Whether there is one on the server. */
  readonly open: boolean;
  readonly #queue: Queue;
  #state: State;

  constructor(api: Api, started: Started, told: { onLine: (connected: boolean) => void; onRefused: (error: Refused) => void }) {
    this.study = started.study;
    this.#state = started.state;
    this.open = started.token !== "";
    this.kept = new Kept(started.token);
    this.#queue = new Queue({
      keeper: this.kept,
      send: events => api.send(events),
      onState: state => (this.#state = state),
      ...told,
    });
    window.addEventListener("online", () => this.#queue.hurry());
    window.addEventListener("beforeunload", event => {
      // What is kept is sent by the next page; still, a person should know that something is under way.
      if (this.#queue.pending) event.preventDefault();
    });
  }

  /** Send what an earlier page left. Then `state` is where the session is. */
  begin(): Promise<void> {
    return this.#queue.begin(this.#state.next);
  }

  get state(): State {
    return this.#state;
  }

  /** Write it down; nobody waits. */
  log(kind: Kind, data: Record<string, unknown> = {}): void {
    this.#queue.add(kind, data);
  }

  /** Wait until all is confirmed; `state` is then what comes next. */
  confirmed(): Promise<void> {
    return this.#queue.stored();
  }

  async submit(kind: Kind, data: Record<string, unknown> = {}): Promise<void> {
    this.#queue.add(kind, data);
    await this.confirmed();
  }
}
