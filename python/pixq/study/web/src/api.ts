/** What the page asks for the next step and sends answers to: the study's server, or the file it was opened from. */

import { backoff } from "../flicker-jnd/order.ts";
import type { Started, Stored, StudyEvent } from "./protocol.ts";
import { Refused } from "./queue.ts";

/** Longer than any answer should take: a connection that died silently is tried again. */
const PATIENCE = 20_000;

/** Whether the same request may succeed later, by the status of the answer. */
function isTemporary(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}

async function ask(path: string, options: RequestInit, patience = PATIENCE): Promise<Response> {
  const signals = [AbortSignal.timeout(patience), ...(options.signal ? [options.signal] : [])];
  const answer = await fetch(path, { ...options, signal: AbortSignal.any(signals) });
  if (answer.ok) return answer;
  const details: { error?: unknown; stored?: unknown; number?: unknown } = await answer.json().catch(() => ({}));
  const message = typeof details.error === "string" ? details.error : `the server answers ${answer.status}`;
  if (isTemporary(answer.status)) throw new Error(message);
  const [stored, number] = [details.stored, details.number].map(value => (typeof value === "number" ? value : null));
  throw new Refused(message, answer.status, stored, number);
}

function post(body: unknown, token?: string): RequestInit {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  return { method: "POST", headers, body: JSON.stringify(body) };
}

/** What the address says about the person: the query, and the token of a link. */
export function platformOf(location: { pathname: string; search: string }): Record<string, string> {
  const platform = Object.fromEntries(new URLSearchParams(location.search));
  const link = /^\/t\/([^/]+)\/?$/.exec(location.pathname);
  if (link) platform.token = decodeURIComponent(link[1]);
  return platform;
}

export interface Api {
  /** Begin a session, or continue one. @throws Refused */
  start(platform: Record<string, string>, language: string, again: boolean, onLine: (connected: boolean) => void): Promise<Started>;
  /** Store events; they are stored once this returns. @throws Refused, or another error if it is worth trying again */
  send(events: StudyEvent[]): Promise<Stored>;
  image(key: string, signal: AbortSignal): Promise<Blob>;
}

/** The study's server. */
export class Server implements Api {
  #token = "";

  /** Tries until the server answers. @throws Refused */
  async start(platform: Record<string, string>, language: string, again: boolean, onLine: (connected: boolean) => void): Promise<Started> {
    for (let tries = 1; ; tries++) {
      try {
        const answer = await ask("/api/start", post({ platform, language, again }));
        const started: Started = await answer.json();
        this.#token = started.token;
        onLine(true);
        return started;
      } catch (error) {
        if (error instanceof Refused) throw error;
        onLine(false);
        await new Promise(done => setTimeout(done, backoff(tries, Math.random())));
      }
    }
  }

  async send(events: StudyEvent[]): Promise<Stored> {
    return (await ask("/api/events", post({ events }, this.#token))).json();
  }

  async image(key: string, signal: AbortSignal): Promise<Blob> {
    const headers = { authorization: `Bearer ${this.#token}` };
    const answer = await ask(`/api/image/${encodeURIComponent(key)}`, { headers, signal }, 3 * PATIENCE);
    return answer.blob();
  }
}
