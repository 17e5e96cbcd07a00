/** The images of a trial: those near the slider are loaded first, failed ones are tried again, all are decoded before use. */

import { backoff, nextToLoad, toForget } from "./order.ts";
import type { Shown } from "./sizes.ts";

export type Load = (image: string, signal: AbortSignal) => Promise<Blob>;

export interface PicturesOptions {
  /** The reference's name or address, then those of the levels, in the order of the slider. */
  images: readonly string[];
  load: Load;
  /** The size of the images in pixels; an image of another size counts as broken. */
  width: number;
  height: number;
  size: Shown;
  /** Levels that must be there before `ready`. */
  first?: number;
  onProgress?: (loaded: number, needed: number) => void;
  onBroken?: (image: string, why: string) => void;
  /** Called when all are loaded. */
  onLoaded?: () => void;
}

/** Images loaded at a time: more would slow down the one that the person waits for. */
const AT_A_TIME = 4;
const TRIES = 5;
/** Number of decoded levels to keep, and how far around the slider they are decoded ahead. */
const KEPT = 24;
const AHEAD = 3;
/** Colours as they are in the file, the same in every browser. */
const PLAINLY: ImageBitmapOptions = { colorSpaceConversion: "none", imageOrientation: "from-image" };

/** A promise that never settles, for callers that are gone after `dispose`. */
function never(): Promise<never> {
  return new Promise(() => {});
}

export class Broken extends Error {}

/** Any image, from its address. */
export async function fetchImage(image: string, signal: AbortSignal): Promise<Blob> {
  const answer = await fetch(image, { signal });
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return answer.blob();
}

export class Pictures {
  readonly #options: Required<PicturesOptions>;
  readonly #blobs: (Blob | undefined)[];
  readonly #why = new Map<number, string>();
  readonly #loading = new Map<number, Promise<void>>();
  readonly #decoded = new Map<number, ImageBitmap>();
  readonly #decoding = new Map<number, Promise<ImageBitmap>>();
  readonly #end = new AbortController();
  #at = 0;
  /** The picture on the screen, which must stay decoded. */
  shown = 0;

  constructor(options: PicturesOptions) {
    this.#options = { first: 8, onProgress: () => {}, onBroken: () => {}, onLoaded: () => {}, ...options };
    this.#blobs = options.images.map(() => undefined);
  }

  get count(): number {
    return this.#blobs.length;
  }

  /** Wait for the reference and the first levels, while the others load. Never settles after `dispose`. */
  async ready(): Promise<void> {
    const needed = Math.min(this.count, this.#options.first + 1);
    this.#fill();
    for (;;) {
      const waiting = [...Array(needed).keys()].filter(position => !this.#blobs[position]);
      const broken = waiting.find(position => this.#why.has(position));
      if (broken !== undefined) throw new Broken(this.#why.get(broken));
      this.#options.onProgress(needed - waiting.length, needed);
      if (!waiting.length) break;
      await Promise.race(this.#loading.values());
      if (this.#end.signal.aborted) return never();
    }
    await this.get(0);
    await this.get(Math.min(1, this.count - 1));
  }

  /** The picture, if it is decoded already. */
  peek(position: number): ImageBitmap | undefined {
    return this.#decoded.get(position);
  }

  /** Load one picture before all others. Never settles after `dispose`, which would have closed it. @throws Broken */
  async get(position: number): Promise<ImageBitmap> {
    this.#at = position;
    this.#fill();
    while (!this.#blobs[position]) {
      const why = this.#why.get(position);
      if (why !== undefined) throw new Broken(why);
      await (this.#loading.get(position) ?? this.#start(position));
      if (this.#end.signal.aborted) return never();
    }
    const bitmap = await this.#decode(position);
    if (this.#end.signal.aborted) return never();
    this.#ahead();
    return bitmap;
  }

  /** Try all broken ones again. */
  retry(): void {
    this.#why.clear();
    this.#fill();
  }

  dispose(): void {
    this.#end.abort();
    for (const bitmap of this.#decoded.values()) bitmap.close();
    this.#decoded.clear();
  }

  #fill(): void {
    while (!this.#end.signal.aborted && this.#loading.size < AT_A_TIME) {
      const done = this.#blobs.map((blob, at) => Boolean(blob) || this.#loading.has(at) || this.#why.has(at));
      const next = nextToLoad(done, this.#at);
      if (next < 0) return;
      void this.#start(next);
    }
  }

  #start(position: number): Promise<void> {
    const loading = this.#load(position).finally(() => {
      this.#loading.delete(position);
      this.#fill();
    });
    this.#loading.set(position, loading);
    return loading;
  }

  async #load(position: number): Promise<void> {
    const image = this.#options.images[position] ?? "";
    const { signal } = this.#end;
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        const blob = await this.#options.load(image, signal);
        // A file that is not an image of this size is tried again like one that did not arrive.
        const bitmap = await this.#bitmap(blob);
        this.#blobs[position] = blob;
        if (position === 0 || Math.abs(position - this.#at) <= AHEAD) this.#keep(position, bitmap);
        else bitmap.close();
        if (this.#blobs.every(Boolean)) this.#options.onLoaded();
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (tries === TRIES) {
          const why = error instanceof Error ? error.message : String(error);
          this.#why.set(position, why);
          this.#options.onBroken(image, why);
          return;
        }
        await new Promise(done => setTimeout(done, backoff(tries, Math.random(), 300, 4000)));
      }
    }
  }

  async #bitmap(blob: Blob): Promise<ImageBitmap> {
    const { width, height, size } = this.#options;
    const plain = await createImageBitmap(blob, PLAINLY);
    if (plain.width !== width || plain.height !== height) {
      plain.close();
      throw new Error(`it has ${plain.width} x ${plain.height} pixels and not ${width} x ${height}`);
    }
    if (size.width_device === width && size.height_device === height) return plain;
    // All scaling is done here: while the pictures alternate, they are only copied.
    const scaled = await createImageBitmap(plain, {
      resizeWidth: size.width_device,
      resizeHeight: size.height_device,
      resizeQuality: "high",
    });
    plain.close();
    return scaled;
  }

  #keep(position: number, bitmap: ImageBitmap): ImageBitmap {
    const known = this.#decoded.get(position);
    if (known || this.#end.signal.aborted) {
      bitmap.close();
      return known ?? bitmap;
    }
    this.#decoded.set(position, bitmap);
    for (const far of toForget([...this.#decoded.keys()], this.#at, KEPT)) {
      if (far === position || far === this.shown) continue;
      this.#decoded.get(far)?.close();
      this.#decoded.delete(far);
    }
    return bitmap;
  }

  #decode(position: number): Promise<ImageBitmap> {
    const known = this.#decoded.get(position);
    if (known) return Promise.resolve(known);
    let decoding = this.#decoding.get(position);
    if (!decoding) {
      decoding = this.#bitmap(this.#blobs[position] as Blob)
        .then(bitmap => this.#keep(position, bitmap))
        .finally(() => this.#decoding.delete(position));
      this.#decoding.set(position, decoding);
    }
    return decoding;
  }

  #ahead(): void {
    for (let far = 1; far <= AHEAD; far++) {
      for (const position of [this.#at + far, this.#at - far]) {
        // A picture that fails here fails again, and is reported, when it is needed.
        if (position > 0 && this.#blobs[position]) this.#decode(position).catch(() => {});
      }
    }
  }
}
