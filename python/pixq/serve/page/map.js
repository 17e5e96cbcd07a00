// @ts-check
/**
 * The coloured map of a prediction: which pixels each patch covers, and drawing them.
 *
 * @typedef {import("./api.js").Prediction} Prediction
 * @typedef {import("./api.js").PatchClass} PatchClass
 *
 * @typedef {object} Frame The position of an image on a canvas, in canvas pixels.
 * @property {number} x
 * @property {number} y
 * @property {number} scale Canvas pixels per image pixel.
 */

/**
 * The first pixel of each cell, and the end of the last one. A pixel belongs to the patch whose centre is nearest; one
 * halfway between two belongs to the later one.
 * @param {number[]} starts First pixels of patches.
 * @param {number} length Number of pixels.
 * @param {number} size Side of a patch, in pixels.
 */
export function edges(starts, length, size) {
  const between = starts.slice(1).map((start, at) => Math.ceil((starts[at] + start + size - 1) / 2));
  return [0, ...between, length];
}

/**
 * The cell that contains a pixel.
 * @param {number[]} borders As returned by `edges`.
 * @param {number} pixel
 */
export function cellAt(borders, pixel) {
  let low = 0;
  let high = borders.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (borders[middle] <= pixel) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * The colour of a class.
 * @param {PatchClass} each
 * @param {boolean} safe
 */
export function colorOf(each, safe) {
  return safe ? each.safe_color : each.color;
}

/**
 * Black or white, whichever is easier to read on `color` (WCAG 2.2).
 * @param {string} color `#rrggbb`
 */
export function inkOn(color) {
  const light = channels(color)
    .map(value => value / 255)
    .map(value => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
  return 1.05 / (light + 0.05) > (light + 0.05) / 0.05 ? "#ffffff" : "#000000";
}

/** @param {string} color */
function channels(color) {
  return [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16));
}

/** The coloured cells of a prediction. */
export class Overlay {
  /** @param {Prediction} prediction */
  constructor(prediction) {
    this.prediction = prediction;
    const { xs, ys, width, height, size } = prediction.grid;
    this.columns = edges(xs, width, size);
    this.rows = edges(ys, height, size);
    /** @type {Map<boolean, OffscreenCanvas>} */
    this.colored = new Map();
  }

  /**
   * The number of the patch at a pixel of the image, counted row by row; -1 outside.
   * @param {number} x
   * @param {number} y
   */
  patchAt(x, y) {
    const { width, height, columns } = this.prediction.grid;
    if (x < 0 || y < 0 || x >= width || y >= height) return -1;
    return cellAt(this.rows, y) * columns + cellAt(this.columns, x);
  }

  /**
   * A picture with one pixel per patch.
   * @param {boolean} safe
   */
  #cells(safe) {
    let found = this.colored.get(safe);
    if (!found) {
      const { rows, columns } = this.prediction.grid;
      found = new OffscreenCanvas(columns, rows);
      const pixels = new ImageData(columns, rows);
      const colors = this.prediction.classes.map(each => [...channels(colorOf(each, safe)), 255]);
      this.prediction.patches.class.forEach((each, at) => pixels.data.set(colors[each], 4 * at));
      /** @type {OffscreenCanvasRenderingContext2D} */ (found.getContext("2d")).putImageData(pixels, 0, 0);
      this.colored.set(safe, found);
    }
    return found;
  }

  /**
   * Draw the cells over an image.
   * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
   * @param {Frame} frame
   * @param {{safe: boolean, opacity: number, unit: number}} how `opacity` 0 to 1; `unit`: canvas pixels per CSS pixel.
   */
  draw(context, frame, { safe, opacity, unit }) {
    const cells = this.#cells(safe);
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = false;
    // All cells but those at the edges have one size, so a few pieces cover them, at whole pixels and without seams.
    for (const [top, bottom] of runs(this.rows)) {
      for (const [left, right] of runs(this.columns)) {
        const x = Math.round(frame.x + this.columns[left] * frame.scale);
        const y = Math.round(frame.y + this.rows[top] * frame.scale);
        const width = Math.round(frame.x + this.columns[right] * frame.scale) - x;
        const height = Math.round(frame.y + this.rows[bottom] * frame.scale) - y;
        if (width && height) context.drawImage(cells, left, top, right - left, bottom - top, x, y, width, height);
      }
    }
    context.globalAlpha = 1;
    if (opacity > 0) this.#signs(context, frame, safe, unit);
  }

  /**
   * Mark classes and unsure patches without colour, where cells are large enough.
   * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
   * @param {Frame} frame
   * @param {boolean} safe
   * @param {number} unit
   */
  #signs(context, frame, safe, unit) {
    const { grid, patches, classes } = this.prediction;
    const side = grid.stride * frame.scale;
    if (side < 7 * unit) return;
    const far = { x: (context.canvas.width - frame.x) / frame.scale, y: (context.canvas.height - frame.y) / frame.scale };
    const [left, right] = [cellAt(this.columns, -frame.x / frame.scale), cellAt(this.columns, far.x)];
    const [top, bottom] = [cellAt(this.rows, -frame.y / frame.scale), cellAt(this.rows, far.y)];
    const marked = side >= 16 * unit;
    context.font = `${Math.min(Math.round(side * 0.4), 14 * unit)}px sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = unit;
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const number = row * grid.columns + column;
        const each = patches.class[number];
        const unsure = patches.unsure?.[number] ?? false;
        // The best class has no mark: nobody looks for it.
        const sign = marked && each < classes.length - 1;
        if (!sign && !unsure) continue;
        const x = frame.x + this.columns[column] * frame.scale;
        const y = frame.y + this.rows[row] * frame.scale;
        const width = (this.columns[column + 1] - this.columns[column]) * frame.scale;
        const height = (this.rows[row + 1] - this.rows[row]) * frame.scale;
        context.fillStyle = context.strokeStyle = inkOn(colorOf(classes[each], safe));
        if (unsure) {
          context.globalAlpha = 0.7;
          context.beginPath();
          context.moveTo(x, y + height);
          context.lineTo(x + width, y);
          context.stroke();
        }
        context.globalAlpha = 0.9;
        if (sign) context.fillText(classes[each].mark, x + width / 2, y + height / 2);
      }
    }
    context.globalAlpha = 1;
  }
}

/**
 * The first and last borders of runs of cells that have the same width.
 * @param {number[]} borders
 */
function runs(borders) {
  /** @type {[number, number][]} */
  const found = [];
  for (let at = 1; at < borders.length; at++) {
    const last = found[found.length - 1];
    const width = borders[at] - borders[at - 1];
    if (last && borders[last[1]] - borders[last[1] - 1] === width) last[1] = at;
    else found.push([at - 1, at]);
  }
  return found;
}

/**
 * The map as a picture in the size of the image, with a legend below it.
 * @param {ImageBitmap} distorted
 * @param {Overlay} overlay
 * @param {{safe: boolean, opacity: number}} how
 * @returns {Promise<Blob>}
 */
export function mapPicture(distorted, overlay, { safe, opacity }) {
  const { width, height } = overlay.prediction.grid;
  const { classes, verdict } = overlay.prediction;
  const line = 20;
  const words = verdict.shares.map(each => `${classes[each.class].name} ${each.percent}: ${classes[each.class].meaning}`);
  const canvas = document.createElement("canvas");
  let context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.font = "13px sans-serif";
  const widths = words.map(text => 34 + context.measureText(text).width);
  const wide = width >= widths.reduce((sum, each) => sum + each, 8);
  canvas.width = Math.max(width, wide ? 0 : Math.ceil(Math.max(...widths)) + 8);
  canvas.height = height + 8 + line * (wide ? 1 : words.length);
  context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(distorted, 0, 0);
  overlay.draw(context, { x: 0, y: 0, scale: 1 }, { safe, opacity, unit: 1 });
  context.font = "13px sans-serif";
  context.textBaseline = "middle";
  let x = 8;
  words.forEach((text, at) => {
    const y = height + 4 + line * (wide ? 0.5 : at + 0.5);
    const color = colorOf(classes[verdict.shares[at].class], safe);
    context.fillStyle = color;
    context.fillRect(x, y - 8, 16, 16);
    context.fillStyle = inkOn(color);
    context.textAlign = "center";
    context.fillText(classes[verdict.shares[at].class].mark, x + 8, y);
    context.fillStyle = "#000000";
    context.textAlign = "left";
    context.fillText(text, x + 22, y);
    if (wide) x += widths[at];
  });
  return new Promise((resolve, reject) =>
    canvas.toBlob(blob => (blob ? resolve(blob) : reject(new Error("this browser can't write a PNG of that size"))), "image/png"),
  );
}
