/** The size of an image on the screen, and the place in the image of a place on the screen. Pure. */

/** The size of an image, in CSS pixels and in device pixels. */
export interface Shown {
  width_css: number;
  height_css: number;
  width_device: number;
  height_device: number;
}

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

function shown(width: number, height: number, dpr: number): Shown {
  // Whole device pixels: browsers resample, and so blur, a canvas of any other size.
  const [across, down] = [Math.max(1, Math.round(width * dpr)), Math.max(1, Math.round(height * dpr))];
  return { width_css: across / dpr, height_css: down / dpr, width_device: across, height_device: down };
}

/**
 * A size in centimetres, on a screen with this many CSS pixels per centimetre.
 *
 * The scaling of the operating system and the browser's zoom are in both factors: a CSS pixel is `dpr` device pixels,
 * and `pxPerCm` was measured in CSS pixels on that very screen.
 */
export function physicalSize(widthCm: number, heightCm: number, pxPerCm: number, dpr: number): Shown {
  return shown(widthCm * pxPerCm, heightCm * pxPerCm, dpr);
}

/** One pixel of the image is one device pixel. */
export function nativeSize(width: number, height: number, dpr: number): Shown {
  return shown(width / dpr, height / dpr, dpr);
}

/** The place [y, x] in an image of `width` x `height` pixels for a place in the window, in CSS pixels; never outside. */
export function toImage(x: number, y: number, box: Box, width: number, height: number): [number, number] {
  const clamp = (value: number, most: number) => Math.min(Math.max(value, 0), most);
  return [
    clamp(((y - box.top) / box.height) * height, height),
    clamp(((x - box.left) / box.width) * width, width),
  ];
}

/** CSS pixels by which a box must move so that its edge lies between two device pixels. */
export function snap(position: number, dpr: number): number {
  return Math.round(position * dpr) / dpr - position;
}
