import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";

import type { Kind, State, StudyEvent, TrialSpec } from "../src/protocol.ts";
import { Queue, Refused, type Keeper, type Pending } from "../src/queue.ts";

class Memory implements Keeper {
  events: Pending[] = [];
  async load() {
    return structuredClone(this.events);
  }
  async put(events: readonly Pending[]) {
    for (const event of structuredClone(events)) {
      this.events = this.events.filter(each => each.page !== event.page || each.place !== event.place);
      this.events.push(event);
    }
    const key = ({ page, place }: Pending) => `${page} ${String(place).padStart(9)}`;
    this.events.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  }
  async drop(events: readonly Pending[]) {
    this.events = this.events.filter(each => !events.some(({ page, place }) => each.page === page && each.place === place));
  }
}

/** A browser that keeps nothing. */
class Nothing implements Keeper {
  async load(): Promise<Pending[]> {
    throw new Error("a private window");
  }
  put = this.load as unknown as Keeper["put"];
  drop = this.put;
}

/** A server that stores in order, as the study's does, and fails as it is told. It asks for `trials` answers. */
class Server {
  events: StudyEvent[] = [];
  requests = 0;
  fail: (() => Error | null)[] = [];
  /** The answer is lost on the way back, after it was stored. */
  lost = 0;
  trials = 9;
  /** What it never takes. */
  never: (event: StudyEvent) => boolean = () => false;
  get answers(): StudyEvent[] {
    return this.events.filter(event => event.kind === "trial");
  }
  get state(): State {
    const index = this.answers.length;
    const state: State = { step: index < this.trials ? "trial" : "completed", next: this.events.length, index, of: this.trials };
    return index < this.trials ? { ...state, trial: { key: `t${index}` } as TrialSpec } : state;
  }
  async send(events: StudyEvent[]) {
    this.requests++;
    const error = this.fail.shift()?.();
    if (error) throw error;
    const next = this.events.length;
    const [{ number: first }] = events;
    assert.deepEqual(events.map(event => event.number), events.map((_, at) => first + at));
    if (events.some(event => JSON.stringify(event).includes("unspeakable"))) throw new Refused("no event", 422);
    if (first > next) throw new Refused("a gap", 409, next - 1);
    for (const event of events.filter(event => event.number < next)) {
      if (!isDeepStrictEqual(event, this.events[event.number])) throw new Refused("another event", 409, next - 1, event.number);
    }
    for (const event of events.filter(event => event.number >= next)) {
      const misplaced = event.kind === "trial" && event.data.key !== this.state.trial?.key;
      if (misplaced || this.never(event)) {
        this.events.length = next;
        throw new Refused("it does not fit", 409, next - 1, event.number);
      }
      this.events.push(structuredClone(event));
    }
    if (this.lost-- > 0) throw new Error("the line broke");
    return { stored: this.events.length - 1, state: this.state };
  }
}

/** Time for all that is under way. */
const settle = () => new Promise(done => setTimeout(done, 5));

/** Does nothing more after its first request, which may have arrived. */
async function gone(server: Server, keeper: Keeper, arrives: boolean, ...said: [Kind, Record<string, unknown>][]): Promise<StudyEvent[]> {
  const sent: StudyEvent[] = [];
  const page = new Queue({
    keeper,
    send: async events => {
      sent.push(...structuredClone(events));
      if (arrives) await server.send(events);
      throw new Error("no line");
    },
    onState: () => {},
    onLine: () => {},
    onRefused: () => {},
    wait: () => new Promise(() => {}),
    wall: () => "2026-01-01T00:00:00Z",
  });
  await page.begin(server.events.length);
  for (const [kind, data] of said) page.add(kind, data);
  await settle();
  return sent;
}

function queue<K extends Keeper = Memory>(server: Server, keeper: K = new Memory() as Keeper as K) {
  const seen = { states: [] as State[], connected: [] as boolean[], refused: [] as Refused[], waits: [] as number[] };
  const made = new Queue({
    keeper,
    send: events => server.send(events),
    onState: state => seen.states.push(state),
    onLine: connected => seen.connected.push(connected),
    onRefused: error => seen.refused.push(error),
    wait: async ms => void seen.waits.push(ms),
    now: () => 12.4,
    wall: () => "2026-01-01T00:00:01Z",
  });
  return { made, seen, keeper };
}

test("events are numbered, stored in order, and then forgotten", async () => {
  const server = new Server();
  const { made, keeper, seen } = queue(server);
  await made.begin(0);
  for (const kind of ["opened", "consent", "check"] as const) made.add(kind, { kind });
  await made.stored();
  assert.deepEqual(server.events.map(event => [event.number, event.kind, event.at]), [[0, "opened", 12], [1, "consent", 12], [2, "check", 12]]);
  assert.equal(made.pending, 0);
  assert.deepEqual(keeper.events, []);
  assert.equal(seen.states.at(-1)?.next, 3);
});

test("a broken line is tried again, waiting longer each time, and the banner comes and goes", async () => {
  const server = new Server();
  server.fail = Array.from({ length: 4 }, () => () => new TypeError("no line"));
  const { made, seen } = queue(server);
  await made.begin(0);
  made.add("trial", { key: "t0" });
  await made.stored();
  assert.equal(server.events.length, 1);
  assert.deepEqual(seen.connected, [false, false, false, false, true]);
  assert.equal(seen.waits.length, 4);
  assert.ok(seen.waits[3] > 2 * seen.waits[0]);
});

test("what was stored although the answer was lost is stored once", async () => {
  const server = new Server();
  server.lost = 2;
  const { made } = queue(server);
  await made.begin(0);
  made.add("trial", { key: "t0", pjnd: 5 });
  await made.stored();
  assert.equal(server.requests, 3);
  assert.equal(server.events.length, 1);
});

test("a new page sends what the old one left, before anything else", async () => {
  const server = new Server();
  const keeper = new Memory();
  await gone(server, keeper, false, ["frames", {}], ["trial", { key: "t0", pjnd: 7 }]);
  assert.deepEqual([keeper.events.length, server.events.length], [2, 0]);
  const { made, seen } = queue(server, keeper);
  await made.begin(0);
  assert.deepEqual(server.events.map(event => event.data), [{}, { key: "t0", pjnd: 7 }]);
  assert.equal(seen.states.at(-1)?.next, 2);
  made.add("opened", {});
  await made.stored();
  assert.deepEqual(server.events.map(event => event.kind), ["frames", "trial", "opened"]);
  assert.deepEqual(keeper.events, []);
});

test("an event is kept under its number before it is sent, and without one before that", async () => {
  const server = new Server();
  const keeper = new Memory();
  const seen: (number | null)[][] = [];
  const made = new Queue({
    keeper,
    send: async events => {
      seen.push(keeper.events.map(event => event.number));
      made.add("frames", {});
      await settle();
      seen.push(keeper.events.map(event => event.number));
      server.events = [...events];
      throw new Refused("enough", 401);
    },
    onState: () => {}, onLine: () => {}, onRefused: () => {},
  });
  await made.begin(0);
  made.add("trial", { key: "t0" });
  while (seen.length < 2) await settle();
  assert.deepEqual(seen, [[0], [0, null]]);
});

test("what was stored, and no page was told of, is stored once, also where others came after it", async () => {
  const server = new Server();
  const keeper = new Memory();
  await gone(server, keeper, true, ["frames", {}], ["trial", { key: "t0" }]);
  assert.equal(keeper.events.length, 2);
  server.events.push({ number: 2, kind: "opened", at: 0, wall: "", data: {} });
  const { made, seen } = queue(server, keeper);
  await made.begin(3);
  assert.deepEqual(server.events.map(event => event.kind), ["frames", "trial", "opened"]);
  assert.deepEqual(keeper.events, []);
  assert.equal(seen.refused.length, 0);
});

test("events whose numbers others have taken get new ones, and those before them stay", async () => {
  const server = new Server();
  const keeper = new Memory();
  const sent = await gone(server, keeper, false, ["frames", { a: 1 }], ["trial", { key: "t0" }], ["blocked", {}]);
  // A first part of them came there after all, and then another page.
  server.events = [...sent.slice(0, 1), { number: 1, kind: "opened", at: 0, wall: "", data: {} }];
  const { made, seen } = queue(server, keeper);
  await made.begin(2);
  assert.deepEqual(server.events.map(event => event.kind), ["frames", "opened", "trial", "blocked"]);
  assert.equal(seen.refused.length, 0);
  assert.equal(made.pending, 0);
});

test("a page whose browser keeps nothing goes on where a late request has taken its number", async () => {
  const server = new Server();
  const { made, seen } = queue(server, new Nothing());
  await made.begin(0);
  server.events = [{ number: 0, kind: "trial", at: 0, wall: "", data: { key: "t0" } }];
  made.add("opened", {});
  await made.stored();
  assert.deepEqual(server.events.map(event => event.kind), ["trial", "opened"]);
  assert.equal(seen.states.at(-1)?.trial?.key, "t1");
});

test("an image that another page has answered is not answered twice, and the session goes on", async () => {
  const server = new Server();
  const keeper = new Memory();
  await gone(server, keeper, false, ["frames", {}], ["trial", { key: "t0", pjnd: 3 }]);
  server.events = [{ number: 0, kind: "trial", at: 0, wall: "", data: { key: "t0", pjnd: 8 } }];
  const { made, seen } = queue(server, keeper);
  await made.begin(1);
  assert.deepEqual(server.answers.map(event => event.data.pjnd), [8]);
  const said = { key: "t0", pjnd: 3 };
  assert.deepEqual(server.events.at(-1)?.data, { what: "refused", why: "it does not fit", kind: "trial", said });
  assert.equal(seen.refused.length, 0);
  made.add("trial", { key: "t1" });
  await made.stored();
  assert.equal(server.answers.length, 2);
  assert.deepEqual(keeper.events, []);
});

test("an answer that is refused for itself is told of, and the next page goes on", async () => {
  const server = new Server();
  const keeper = new Memory();
  server.never = event => event.kind === "trial" && event.data.pjnd === 0;
  const { made, seen } = queue(server, keeper);
  await made.begin(0);
  made.add("trial", { key: "t0", pjnd: 0 });
  let told = false;
  void made.stored().then(() => (told = true));
  await settle();
  assert.deepEqual(seen.refused.map(error => error.message), ["it does not fit"]);
  assert.equal(told, false, "nobody goes on as if it were stored");
  const next = queue(server, keeper);
  await next.made.begin(server.events.length);
  next.made.add("trial", { key: "t0", pjnd: 4 });
  await next.made.stored();
  assert.deepEqual(server.events.map(event => event.kind), ["error", "trial"]);
  assert.equal(next.seen.refused.length, 0);
});

test("what can't be stored at all does not keep the others from it", async () => {
  const server = new Server();
  const { made, keeper, seen } = queue(server);
  await made.begin(0);
  for (const text of ["fine", "unspeakable", "fine"]) made.add("frames", { text });
  await made.stored();
  assert.deepEqual(server.events.map(event => event.data.text ?? event.data.what), ["fine", "refused", "fine"]);
  assert.deepEqual(keeper.events, []);
  assert.equal(seen.refused.length, 0);
});

test("a server that has lost its last events gets the others under their numbers", async () => {
  const server = new Server();
  const { made } = queue(server);
  await made.begin(0);
  for (let index = 0; index < 3; index++) made.add("frames", { index });
  await made.stored();
  server.events.length = 1;
  made.add("frames", { index: 3 });
  await made.stored();
  assert.deepEqual(server.events.map(event => [event.number, event.data.index]), [[0, 0], [1, 3]]);
});

test("a refusal of the session itself is told and ends it; what is kept stays", async () => {
  const server = new Server();
  const { made, seen, keeper } = queue(server);
  await made.begin(0);
  server.fail = [() => new Refused("no such session", 401)];
  made.add("check", {});
  await settle();
  assert.deepEqual(seen.refused.map(error => error.status), [401]);
  assert.equal(made.pending, 1);
  assert.equal(keeper.events.length, 1);
});

test("a server that refuses everything is not asked without a pause, nor for ever", async () => {
  const server = new Server();
  server.never = () => true;
  const { made, seen } = queue(server);
  await made.begin(0);
  made.add("opened", {});
  await settle();
  assert.equal(seen.refused.length, 1);
  assert.equal(server.requests, 2);
  const other = queue(server);
  await other.made.begin(0);
  server.fail = Array.from({ length: 9 }, () => () => new Refused("a gap", 409, -1));
  server.never = () => false;
  other.made.add("opened", {});
  await other.made.stored();
  assert.equal(other.seen.waits.length, 6);
});

test("fifty pages that come and go, and lines that break: every answer is there once", async () => {
  const server = new Server();
  server.trials = 60;
  const keeper = new Memory();
  let seed = 7;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  let pages = 0;
  while (server.state.step !== "completed") {
    pages++;
    let gone = false;
    let state = server.state;
    const page = new Queue({
      keeper,
      send: async events => {
        if (gone) return new Promise(() => {});
        const what = random();
        if (what < 0.2) throw new Error("it did not come there");
        const answer = await server.send(events);
        if (what < 0.4) throw new Error("nor did the answer");
        gone = what < 0.6;
        return gone ? new Promise(() => {}) : answer;
      },
      onState: told => (state = told),
      onLine: () => {},
      onRefused: error => assert.fail(error),
      wait: async () => void (gone ||= random() < 0.3),
    });
    void page.begin(state.next).then(async () => {
      page.add("opened", {});
      await page.stored();
      while (state.trial && !gone) {
        page.add("frames", {});
        page.add("trial", { key: state.trial.key, page: pages });
        await page.stored();
      }
    });
    await settle();
  }
  assert.ok(pages >= 50, `${pages} pages`);
  assert.deepEqual(server.answers.map(event => event.data.key), Array.from({ length: 60 }, (_, index) => `t${index}`));
  assert.ok(server.events.every(event => event.kind !== "error"), "none was sent twice");
  assert.deepEqual(server.events.map(event => event.number), [...server.events.keys()]);
});

test("many events go in several requests, each not too large", async () => {
  const server = new Server();
  const { made } = queue(server);
  await made.begin(0);
  for (let index = 0; index < 6; index++) made.add("frames", { track: "x".repeat(40_000) });
  await made.stored();
  assert.equal(server.events.length, 6);
  assert.ok(server.requests >= 3);
});
