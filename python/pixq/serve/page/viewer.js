// @ts-check
import { Flicker } from "./flicker.js";

/**
 * The picture: its views, zooming and moving, and the selected patch.
 *
 * @typedef {import("./map.js").Overlay} Overlay
 * @typedef {import("./map.js").Frame} Frame
 * @typedef {import("./flicker.js").Log} Log
 * @typedef {"reference" | "distorted" | "map" | "flip"} View
 * @typedef {{reference: ImageBitmap, distorted: ImageBitmap, overlay: Overlay}} Pair
 */

/** The most canvas pixels per image pixel. */
const CLOSEST = 32;
/** How far a pointer moves before it drags, in CSS pixels. */
const SLACK = 4;
/** The largest height of the stage, as a share of the window's. */
const TALLEST = 0.76;

/**
 * The scale at which a whole picture fits.
 * @param {number} across Room for it, in canvas pixels.
 * @param {number} down
 * @param {number} width The picture, in its own pixels.
 * @param {number} height
 */
function fitting(across, down, width, height) {
  const most = Math.min(across / width, down / height);
  // Enlarged by a whole factor, so that all pixels have the same size.
  return most >= 1 ? Math.min(Math.floor(most), CLOSEST) : most;
}

export class Viewer {
  /**
   * @param {object} options
   * @param {HTMLElement} options.stage The element that takes the focus and holds both canvases.
   * @param {HTMLCanvasElement} options.picture
   * @param {HTMLCanvasElement} options.cursor Lies over `picture`, so that the outline of the patch does not disturb the flip.
   * @param {(number: number, byKey: boolean) => void} options.onPatch
   * @param {(log: Log | null, shown: number, running: boolean) => void} options.onFlip
   * @param {(scale: number, fits: boolean) => void} options.onZoom
   */
  constructor({ stage, picture, cursor, onPatch, onFlip, onZoom }) {
    this.stage = stage;
    this.picture = picture;
    this.cursor = cursor;
    this.onPatch = onPatch;
    this.onFlip = onFlip;
    this.onZoom = onZoom;
    /** @type {Pair | null} */
    this.pair = null;
    /** @type {View} */
    this.view = "map";
    this.how = { safe: false, opacity: 0.5 };
    /** @type {number | "fit"} */
    this.zoom = "fit";
    /** The point of the image at the middle of the stage. */
    this.middle = { x: 0, y: 0 };
    this.patch = -1;
    /** @type {Flicker | null} */
    this.flicker = null;
    this.asked = 0;
    // Delayed, since resizing may change the size that is observed.
    const resize = () => requestAnimationFrame(() => this.#resize());
    new ResizeObserver(resize).observe(stage);
    window.addEventListener("resize", resize);
    this.#listen();
  }

  /** Canvas pixels per CSS pixel. */
  get unit() {
    return window.devicePixelRatio || 1;
  }

  /**
   * @param {Pair} pair The images and the map to show.
   * @param {boolean} same Whether the images are the same as before, so that the zoom stays.
   */
  show(pair, same) {
    this.pair = pair;
    const { width, height } = pair.overlay.prediction.grid;
    if (!same) {
      this.zoom = "fit";
      this.middle = { x: width / 2, y: height / 2 };
    }
    this.#endFlip();
    this.#choose(-1, false);
    this.#resize();
  }

  /** Show nothing, and release the images. */
  clear() {
    this.#endFlip();
    this.pair = null;
    this.#choose(-1, false);
  }

  /**
   * @param {View} view
   * @param {boolean} held Whether a flip waits for `hold(false)`.
   */
  setView(view, held = false) {
    this.#endFlip();
    this.view = view;
    if (view === "flip" && this.pair) {
      const [reference, distorted] = this.#both();
      this.flicker = new Flicker({
        canvas: this.picture,
        images: [reference, distorted],
        watch: (log, shown) => this.#flipped(log, shown),
      });
      this.hold(held);
    }
    this.draw();
  }

  /** @param {{safe?: boolean, opacity?: number}} how */
  setHow(how) {
    Object.assign(this.how, how);
    this.draw();
  }

  /** Whether the flip is held, or there is none. */
  get held() {
    return !this.flicker || !(this.flicker.running || this.flicker.measuring);
  }

  /** @param {boolean} held */
  hold(held) {
    const { flicker } = this;
    if (!flicker) return;
    if (held) flicker.stop();
    else void flicker.start();
    this.onFlip(flicker.rate ? flicker.log : null, flicker.shown, !held);
  }

  /** @param {Log} log @param {number} shown */
  #flipped(log, shown) {
    this.onFlip(log, shown, true);
    this.stage.dispatchEvent(new CustomEvent("flip", { detail: { log, shown } }));
  }

  #endFlip() {
    for (const image of this.flicker?.images ?? []) image.close();
    this.flicker?.dispose();
    this.flicker = null;
  }

  /** Canvas pixels per image pixel. */
  get scale() {
    if (this.zoom !== "fit" || !this.pair) return Number(this.zoom) || 1;
    const { width, height } = this.pair.overlay.prediction.grid;
    return fitting(this.picture.width, this.picture.height, width, height);
  }

  /** @returns {Frame} */
  get frame() {
    const { scale, middle } = this;
    const { width, height } = /** @type {Pair} */ (this.pair).overlay.prediction.grid;
    /** @type {(stage: number, length: number, at: number) => number} */
    const start = (stage, length, at) => {
      if (length * scale <= stage) return Math.round((stage - length * scale) / 2);
      return Math.round(Math.min(0, Math.max(stage - length * scale, stage / 2 - at * scale)));
    };
    return {
      x: start(this.picture.width, width, middle.x),
      y: start(this.picture.height, height, middle.y),
      scale,
    };
  }

  /**
   * @param {number | "fit" | "in" | "out"} zoom Canvas pixels per image pixel, or a step.
   * @param {{x: number, y: number}} [at] The point that stays fixed, in canvas pixels; the middle by default.
   */
  setZoom(zoom, at) {
    if (!this.pair) return;
    const before = this.frame;
    const fixed = at ?? { x: this.picture.width / 2, y: this.picture.height / 2 };
    const wanted = zoom === "in" ? before.scale * 1.5 : zoom === "out" ? before.scale / 1.5 : zoom;
    this.zoom = "fit";
    if (wanted !== "fit") {
      // A smaller scale than that of the whole picture, or than 1, would show nothing more.
      const smallest = Math.min(this.scale, 1);
      if (wanted > smallest || zoom === 1) this.zoom = Math.min(wanted, CLOSEST);
      const { scale } = this;
      const pixel = { x: (fixed.x - before.x) / before.scale, y: (fixed.y - before.y) / before.scale };
      this.middle = {
        x: pixel.x + (this.picture.width / 2 - fixed.x) / scale,
        y: pixel.y + (this.picture.height / 2 - fixed.y) / scale,
      };
      this.#settle();
    }
    this.draw();
  }

  /** Forget how far the image was dragged beyond its edge. */
  #settle() {
    const { x, y, scale } = this.frame;
    this.middle = { x: (this.picture.width / 2 - x) / scale, y: (this.picture.height / 2 - y) / scale };
  }

  /** Draw at the next refresh, once for any number of changes. */
  draw() {
    if (this.asked || !this.pair) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.#draw();
    });
  }

  #draw() {
    if (!this.pair || !this.picture.width) return;
    const { reference, distorted, overlay } = this.pair;
    this.onZoom(this.scale, this.zoom === "fit");
    if (this.flicker) {
      const old = this.flicker.images;
      this.flicker.replace(this.#both());
      for (const image of old) image.close();
    } else {
      const context = /** @type {CanvasRenderingContext2D} */ (this.picture.getContext("2d"));
      this.#paint(context, this.view === "reference" ? reference : distorted);
      if (this.view === "map") overlay.draw(context, this.frame, { ...this.how, unit: this.unit });
    }
    this.#outline();
  }

  /** Both images as they appear on the stage, so that the flip only copies them. */
  #both() {
    const { reference, distorted } = /** @type {Pair} */ (this.pair);
    return [reference, distorted].map(image => {
      const canvas = new OffscreenCanvas(Math.max(this.picture.width, 1), Math.max(this.picture.height, 1));
      this.#paint(/** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d")), image);
      return canvas.transferToImageBitmap();
    });
  }

  /**
   * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
   * @param {ImageBitmap} image
   */
  #paint(context, image) {
    const { x, y, scale } = this.frame;
    context.globalAlpha = 1;
    context.fillStyle = getComputedStyle(this.stage).backgroundColor;
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    context.imageSmoothingEnabled = scale < 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, x, y, image.width * scale, image.height * scale);
  }

  #outline() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.cursor.getContext("2d"));
    context.clearRect(0, 0, this.cursor.width, this.cursor.height);
    if (!this.pair || this.patch < 0) return;
    const { xs, ys, size, columns } = this.pair.overlay.prediction.grid;
    const { x, y, scale } = this.frame;
    const left = x + xs[this.patch % columns] * scale;
    const top = y + ys[Math.floor(this.patch / columns)] * scale;
    // Black and white: one of them contrasts with any background.
    const { unit } = this;
    for (const [color, out] of /** @type {[string, number][]} */ ([["#000000", 2.5], ["#ffffff", 1]])) {
      context.strokeStyle = color;
      context.lineWidth = 1.5 * unit;
      context.strokeRect(left - out * unit, top - out * unit, size * scale + 2 * out * unit, size * scale + 2 * out * unit);
    }
  }

  /** Make the stage as high as the image needs, and the canvases as large as the stage. */
  #resize() {
    const { unit } = this;
    if (this.pair) {
      const { width, height } = this.pair.overlay.prediction.grid;
      const most = fitting(this.stage.clientWidth * unit, TALLEST * window.innerHeight * unit, width, height);
      this.stage.style.height = `${Math.ceil((height * most) / unit)}px`;
    }
    const [width, height] = [Math.round(this.stage.clientWidth * unit), Math.round(this.stage.clientHeight * unit)];
    if (!width) return;
    for (const canvas of [this.picture, this.cursor]) {
      if (canvas.width !== width) canvas.width = width;
      if (canvas.height !== height) canvas.height = height;
    }
    // At once, since a resized canvas is empty.
    if (this.pair) this.#draw();
  }

  /** @param {number} number @param {boolean} byKey */
  #choose(number, byKey) {
    if (number === this.patch && !byKey) return;
    this.patch = number;
    this.#outline();
    this.onPatch(number, byKey);
  }

  /**
   * Select a neighbour of the patch, or the patch at the middle of the stage if none is selected.
   * @param {number} down
   * @param {number} right
   */
  step(down, right) {
    if (!this.pair) return;
    const { rows, columns, xs, ys, size } = this.pair.overlay.prediction.grid;
    let number = this.patch;
    if (number < 0) number = this.pair.overlay.patchAt(this.middle.x, this.middle.y);
    else {
      const row = Math.min(Math.max(Math.floor(number / columns) + down, 0), rows - 1);
      const column = Math.min(Math.max((number % columns) + right, 0), columns - 1);
      number = row * columns + column;
    }
    const { x, y, scale } = this.frame;
    const left = xs[number % columns];
    const top = ys[Math.floor(number / columns)];
    const outside =
      x + left * scale < 0 || y + top * scale < 0 ||
      x + (left + size) * scale > this.picture.width || y + (top + size) * scale > this.picture.height;
    if (outside) {
      this.middle = { x: left + size / 2, y: top + size / 2 };
      this.#settle();
      this.draw();
    }
    this.#choose(number, true);
  }

  /** The position of an event in canvas pixels. @param {MouseEvent} event */
  #at(event) {
    const box = this.picture.getBoundingClientRect();
    return { x: (event.clientX - box.left) * this.unit, y: (event.clientY - box.top) * this.unit };
  }

  #listen() {
    const { stage } = this;
    /** @type {{x: number, y: number, middle: {x: number, y: number}, moved: boolean} | null} */
    let drag = null;
    /** @param {PointerEvent} event */
    const point = event => {
      if (!this.pair) return;
      const at = this.#at(event);
      const { x, y, scale } = this.frame;
      const number = this.pair.overlay.patchAt(Math.floor((at.x - x) / scale), Math.floor((at.y - y) / scale));
      if (number >= 0) this.#choose(number, false);
    };
    stage.addEventListener("pointerdown", event => {
      if (event.button !== 0) return;
      drag = { x: event.clientX, y: event.clientY, middle: this.middle, moved: false };
      stage.setPointerCapture(event.pointerId);
      point(event);
    });
    stage.addEventListener("pointermove", event => {
      if (!drag) {
        point(event);
        return;
      }
      const [x, y] = [event.clientX - drag.x, event.clientY - drag.y];
      drag.moved ||= Math.hypot(x, y) > SLACK;
      if (!drag.moved) return;
      stage.classList.add("moving");
      this.middle = {
        x: drag.middle.x - (x * this.unit) / this.scale,
        y: drag.middle.y - (y * this.unit) / this.scale,
      };
      this.draw();
    });
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      stage.addEventListener(name, () => {
        if (drag?.moved) this.#settle();
        drag = null;
        stage.classList.remove("moving");
      });
    }
    stage.addEventListener("wheel", event => {
      const before = this.scale;
      this.setZoom(before * 2 ** (-Math.max(-150, Math.min(150, event.deltaY)) / 200), this.#at(event));
      // If nothing is left to zoom, the page scrolls.
      if (this.scale !== before) event.preventDefault();
    }, { passive: false });
  }
}
