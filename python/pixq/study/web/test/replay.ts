/** What the page's own flow makes of events: plans and events as lines of JSON in, where each session then is out. */

import { createInterface } from "node:readline";

import { advance, BEGIN, type SessionPlan } from "../src/offline/state_machine.ts";
import type { StudyEvent } from "../src/protocol.ts";

for await (const line of createInterface({ input: process.stdin })) {
  const { plan, events }: { plan: SessionPlan; events: StudyEvent[] } = JSON.parse(line);
  const after = [];
  let progress = BEGIN;
  for (const event of events) {
    const [next, wrong] = advance(plan, progress, event);
    progress = next;
    after.push({ ...progress, wrong: wrong !== "" });
  }
  console.log(JSON.stringify(after));
}
