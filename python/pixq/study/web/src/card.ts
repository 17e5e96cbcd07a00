/** The size of a bank card, from which the size of the screen follows. Pure. */

import constants from "../../constants.json" with { type: "json" };

/** ISO/IEC 7810 ID-1, in centimetres. */
export const CARD: { width: number; height: number; radius: number } = { width: 8.56, height: 5.398, radius: 0.318 };

/** Widths of the frame, in CSS pixels: from 24 to 415 dots per inch, without zoom and scaling. */
export const NARROWEST = 80;
export const WIDEST = 1400;
/** The width of a card if a CSS pixel were 1/96 inch, as CSS defines it. */
export const FIRST = Math.round((CARD.width * 96) / 2.54);

export const TRIES: number = constants.flow.calibration_tries;

/** CSS pixels per centimetre. */
export function pxPerCm(cardWidth: number): number {
  return cardWidth / CARD.width;
}

/** The nearest width that the frame can have, in whole device pixels. */
export function frameWidth(wanted: number, dpr: number): number {
  return Math.round(Math.min(Math.max(wanted, NARROWEST), WIDEST) * dpr) / dpr;
}
