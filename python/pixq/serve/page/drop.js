// @ts-check
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
    /** @type {ImageBitmap | null} */
    this.bitmap = null;
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
    if (bitmap !== this.bitmap) this.bitmap?.close();
    this.file = file;
    this.bitmap = bitmap;
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

  /** Remove the image; its owner closes the bitmap. */
  empty() {
    this.file = null;
    this.bitmap = null;
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
