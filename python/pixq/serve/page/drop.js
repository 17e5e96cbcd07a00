// @ts-check
/** @typedef {import("./api.js").Background} Background */

/** Side and greys of a checker's squares, as in rust/core/src/decode/alpha.rs. */
const SQUARE = 8;
const GREYS = ["rgb(102 102 102)", "rgb(153 153 153)"];

/**
 * Draw an image on a background.
 * @param {ImageBitmap} image
 * @param {Background} background
 * @returns {Promise<ImageBitmap>}
 */
async function onBackground(image, background) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = background === "checker" ? GREYS[0] : background;
  context.fillRect(0, 0, image.width, image.height);
  if (background === "checker") {
    context.fillStyle = GREYS[1];
    for (let y = 0; y < image.height; y += SQUARE) {
      for (let x = (y + SQUARE) % (2 * SQUARE); x < image.width; x += 2 * SQUARE) context.fillRect(x, y, SQUARE, SQUARE);
    }
  }
  context.drawImage(image, 0, 0);
  return canvas.transferToImageBitmap();
}

/**
 * A zone that takes one image: chosen by button, dropped, or pasted.
 */
export class Zone {
  /**
   * @param {HTMLElement} root
   * @param {(zone: Zone, files: File[]) => void} onFiles
   */
  constructor(root, onFiles) {
    this.root = root;
    this.name = root.id;
    /** @type {File | null} */
    this.file = null;
    /** The image as it is shown: on a background if it has transparent pixels and has been scored. @type {ImageBitmap | null} */
    this.bitmap = null;
    /** The image as it was decoded. @type {ImageBitmap | null} */
    this.decoded = null;
    const input = /** @type {HTMLInputElement} */ (root.querySelector("input"));
    this.#part(".choose").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      // The same file may be chosen again after it was changed.
      input.value = "";
      if (files.length) onFiles(this, files);
    });
  }

  /** @param {string} selector */
  #part(selector) {
    return /** @type {HTMLElement} */ (this.root.querySelector(selector));
  }

  /** @param {boolean} over Whether something is dragged over it. */
  set over(over) {
    this.root.classList.toggle("over", over);
  }

  /**
   * @param {File} file
   * @param {ImageBitmap} bitmap
   */
  fill(file, bitmap) {
    if (bitmap !== this.bitmap) this.#close();
    this.file = file;
    this.bitmap = bitmap;
    this.decoded = bitmap;
    this.complain("");
    const thumb = /** @type {HTMLCanvasElement} */ (this.root.querySelector(".thumb"));
    const scale = Math.min(1, 480 / Math.max(bitmap.width, bitmap.height));
    thumb.width = Math.max(1, Math.round(bitmap.width * scale));
    thumb.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = /** @type {CanvasRenderingContext2D} */ (thumb.getContext("2d"));
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, thumb.width, thumb.height);
    thumb.hidden = false;
    this.#say(`${file.name} · ${bitmap.width} × ${bitmap.height}`);
    this.#part(".choose").textContent = "Choose another";
    this.root.classList.add("full");
  }

  /**
   * Put the image on the background that its score is of.
   * @param {Background | null} background Null if both images are opaque.
   */
  async putOn(background) {
    const { decoded } = this;
    if (!decoded) return;
    const shown = background === null ? decoded : await onBackground(decoded, background);
    if (this.decoded !== decoded) return;
    if (this.bitmap !== decoded && this.bitmap !== shown) this.bitmap?.close();
    this.bitmap = shown;
  }

  #close() {
    if (this.bitmap !== this.decoded) this.bitmap?.close();
    this.decoded?.close();
  }

  /** Take the image out of the zone, as it was decoded. */
  take() {
    const { file, decoded } = this;
    if (this.bitmap !== decoded) this.bitmap?.close();
    this.bitmap = null;
    this.decoded = null;
    return file && decoded ? { file, decoded } : null;
  }

  /** Remove the image. */
  empty() {
    this.#close();
    this.file = null;
    this.bitmap = null;
    this.decoded = null;
    this.#part(".thumb").hidden = true;
    this.#say("");
    this.#part(".choose").textContent = "Choose a file";
    this.root.classList.remove("full");
  }

  /** @param {string} text */
  #say(text) {
    const name = this.#part(".name");
    name.textContent = text;
    name.hidden = !text;
  }

  /** @param {string} message What is wrong with the file; empty if nothing is. */
  complain(message) {
    const error = this.#part(".error");
    error.textContent = message;
    error.hidden = !message;
    this.root.classList.toggle("bad", Boolean(message));
  }
}
