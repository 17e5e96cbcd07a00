/** Loads the next image's files while the current one is shown. They stay here until they are used: one image at most. */

import type { Api } from "./api.ts";

export class Prefetch {
  readonly #api: Api;
  readonly #blobs = new Map<string, Blob>();
  #fetching = new AbortController();

  constructor(api: Api) {
    this.#api = api;
  }

  load = async (key: string, signal: AbortSignal): Promise<Blob> => {
    // What is needed now does not share the line with what is needed later.
    this.#fetching.abort();
    const blob = this.#blobs.get(key);
    this.#blobs.delete(key);
    return blob ?? this.#api.image(key, signal);
  };

  async fetch(keys: readonly string[]): Promise<void> {
    this.#blobs.clear();
    this.#fetching = new AbortController();
    const { signal } = this.#fetching;
    for (const key of keys) {
      if (signal.aborted) return;
      // Whatever fails here is loaded again, and reported, when its turn comes.
      const blob = await this.#api.image(key, signal).catch(() => null);
      if (blob) this.#blobs.set(key, blob);
    }
  }
}
