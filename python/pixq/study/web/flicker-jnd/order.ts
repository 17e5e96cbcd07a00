/** The order in which levels are loaded and released. Levels go by their position on the slider: 1 is the first. */

/**
 * The level to load next: the nearest to the slider; of two, the higher one, where people go first.
 * @param done Whether level 1, 2, ... needs no loading; `done[0]` is the reference.
 * @param at Where the slider is, 0 being the reference.
 * @returns A position, or -1 when all are there.
 */
export function nextToLoad(done: readonly boolean[], at: number): number {
  if (!done[0]) return 0;
  for (let far = 0; far < done.length; far++) {
    for (const position of [at + far, at - far]) {
      if (position > 0 && position < done.length && !done[position]) return position;
    }
  }
  return -1;
}

/** The decoded levels to release so that `most` remain: those farthest from the slider; never the reference. */
export function toForget(decoded: readonly number[], at: number, most: number): number[] {
  const levels = decoded.filter(position => position > 0);
  levels.sort((a, b) => Math.abs(b - at) - Math.abs(a - at) || b - a);
  return levels.slice(0, Math.max(0, levels.length - most));
}

/** Milliseconds to wait before try number `tries` + 1: twice as long each time, and different for each page. */
export function backoff(tries: number, random: number, first = 500, most = 15_000): number {
  return Math.min(most, first * 2 ** (tries - 1)) * (0.75 + random / 2);
}
