/** A bank card tells how large the screen is. Pure. */

import constants from "../../constants.json" with { type: "json" };

/** ISO/IEC 7810 ID-1, in centimetres. */
export const CARD: { width: number; height: number; radius: number } = { width: 8.56, height: 5.398, radius: 0.318 };

/** Widths of the frame, in CSS pixels: from 24 to 415 dots an inch, zoom and scaling taken off. */
export const NARROWEST = 80;
export const WIDEST = 1400;
/** As wide as a card would be if a CSS pixel were 1/96 inch, as CSS has it. */
export const FIRST = Math.round((CARD.width * 96) / 2.54);

export const TRIES: number = constants.flow.calibration_tries;

/** CSS pixels a centimetre. */
export function pxPerCm(cardWidth: number): number {
  return cardWidth / CARD.width;
}

/** A width that the frame can have: of whole device pixels. */
export function frameWidth(wanted: number, dpr: number): number {
  return Math.round(Math.min(Math.max(wanted, NARROWEST), WIDEST) * dpr) / dpr;
}
