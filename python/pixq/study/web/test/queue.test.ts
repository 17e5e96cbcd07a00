import assert from "node:assert/strict";
import { test } from "node:test";

import type { State, StudyEvent } from "../src/protocol.ts";
import { Queue, Refused, type Keeper } from "../src/queue.ts";

class Memory implements Keeper {
  events: StudyEvent[] = [];
  async load() {
    return structuredClone(this.events);
  }
  async add(event: StudyEvent) {
    this.events.push(structuredClone(event));
  }
  async drop(number: number) {
    this.events = this.events.filter(event => event.number > number);
  }
}

/** A server that stores in order, and fails as it is told. */
class Server {
  events: StudyEvent[] = [];
  requests = 0;
  fail: (() => Error | null)[] = [];
  /** The answer is lost on the way back, after it was stored. */
  lost = 0;
  get state(): State {
    return { step: "trial", next: this.events.length, index: 0, of: 1 };
  }
  async send(events: StudyEvent[]) {
    this.requests++;
    const error = this.fail.shift()?.();
    if (error) throw error;
    for (const event of events) {
      const stored = this.events.length - 1;
      if (event.number > stored + 1) throw new Refused("a gap", 409, stored);
      if (event.number <= stored) assert.deepEqual(event, this.events[event.number]);
      else this.events.push(structuredClone(event));
    }
    if (this.lost-- > 0) throw new Error("the line broke");
    return { stored: this.events.length - 1, state: this.state };
  }
}

function queue(server: Server, keeper = new Memory()) {
  const seen = { states: [] as State[], connected: [] as boolean[], refused: [] as Refused[], waits: [] as number[] };
  const made = new Queue({
    keeper,
    send: events => server.send(events),
    onState: state => seen.states.push(state),
    onLine: connected => seen.connected.push(connected),
    onRefused: error => seen.refused.push(error),
    wait: async ms => void seen.waits.push(ms),
    now: () => 12.4,
    wall: () => "2026-01-01T00:00:00Z",
  });
  return { made, seen, keeper };
}

test("events are numbered, stored in order, and then forgotten", async () => {
  const server = new Server();
  const { made, keeper, seen } = queue(server);
  await made.begin(0);
  assert.deepEqual(["opened", "consent", "check"].map(kind => made.add(kind as "check", { kind })), [0, 1, 2]);
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
  made.add("trial", {});
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
  made.add("trial", { pjnd: 5 });
  await made.stored();
  assert.equal(server.requests, 3);
  assert.equal(server.events.length, 1);
});

test("a new page sends what the old one left, before anything else", async () => {
  const server = new Server();
  const keeper = new Memory();
  server.fail = [() => new Error("no line")];
  const old = new Queue({
    keeper,
    send: events => server.send(events),
    onState: () => {},
    onLine: () => {},
    onRefused: () => {},
    wait: () => new Promise(() => {}),
  });
  await old.begin(0);
  old.add("trial", { pjnd: 7 });
  await new Promise(done => setTimeout(done, 5));
  assert.equal(keeper.events.length, 1);
  assert.equal(server.events.length, 0);
  const { made, seen } = queue(server, keeper);
  await made.begin(0);
  assert.deepEqual(server.events.map(event => event.data), [{ pjnd: 7 }]);
  assert.equal(seen.states.at(-1)?.next, 1);
  assert.equal(made.add("opened", {}), 1);
});

test("what the server has already is not sent again, and what does not join on is dropped", async () => {
  const server = new Server();
  const keeper = new Memory();
  const event = (number: number): StudyEvent => ({ number, kind: "frames", at: 0, wall: "", data: {} });
  server.events = [event(0), event(1)];
  keeper.events = [event(1), event(2), event(9)];
  const { made } = queue(server, keeper);
  await made.begin(2);
  assert.equal(server.events.length, 3);
  assert.equal(made.add("trial", {}), 3);
});

test("a refusal is told and ends it; one that says how far the server is goes on from there", async () => {
  const server = new Server();
  server.fail = [() => new Refused("other content", 409, 0)];
  const { made, seen } = queue(server);
  await made.begin(0);
  made.add("opened", {});
  made.add("consent", {});
  server.events.push({ number: 0, kind: "opened", at: 12, wall: "2026-01-01T00:00:00Z", data: {} });
  await made.stored();
  assert.equal(server.events.length, 2);
  server.fail = [() => new Refused("no such session", 401)];
  made.add("check", {});
  await new Promise(done => setTimeout(done, 5));
  assert.deepEqual(seen.refused.map(error => error.status), [401]);
  assert.equal(made.pending, 1);
});

test("many events go in several requests, each not too large", async () => {
  const server = new Server();
  const { made } = queue(server);
  await made.begin(0);
  for (let index = 0; index < 6; index++) made.add("trial", { track: "x".repeat(40_000) });
  await made.stored();
  assert.equal(server.events.length, 6);
  assert.ok(server.requests >= 3);
});
