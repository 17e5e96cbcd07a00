// @ts-check
/**
 * Requests to the service, and the types of its responses.
 *
 * @typedef {object} PatchClass
 * @property {string} name
 * @property {number} quality
 * @property {string} meaning
 * @property {string} color
 * @property {string} safe_color
 * @property {string} mark
 *
 * @typedef {object} Model
 * @property {string} pixq
 * @property {string | null} [model]
 * @property {string | null} [fingerprint]
 * @property {string | null} [calibration]
 * @property {PatchClass[]} classes
 * @property {number} size
 * @property {number} stride
 * @property {number[]} strides
 * @property {boolean} colour_management
 * @property {Background[]} backgrounds
 * @property {Viewing} viewing
 * @property {{name: string, words: string}[]} tasks
 * @property {number | null} frame
 * @property {{bytes: number, pixels: number, formats: string[]}} limits
 *
 * @typedef {object} Viewing
 * @property {number} pixels_per_degree
 * @property {number} peak_luminance
 * @property {number} ambient
 * @property {string | null} display
 * @property {number | null} distance In metres.
 * @property {string} task
 * @property {string} words All of it as text.
 *
 * @typedef {object} Verdict
 * @property {string} headline
 * @property {string} patches
 * @property {number | null} jnd
 * @property {number | null} p_notice
 * @property {number} quality
 * @property {number} worst
 * @property {number} worst_percentile
 * @property {number | null} unsure
 * @property {number} identical
 * @property {{class: number, share: number, percent: string}[]} shares
 *
 * @typedef {object} Grid
 * @property {number} height
 * @property {number} width
 * @property {number} size
 * @property {number} stride
 * @property {number} rows
 * @property {number} columns
 * @property {number[]} ys
 * @property {number[]} xs
 *
 * @typedef {"black" | "white" | "checker"} Background
 *
 * @typedef {object} Pixels
 * @property {"sRGB" | "raw"} colours
 * @property {string | null} intent
 * @property {string | null} reference_profile
 * @property {string | null} distorted_profile
 * @property {Background[]} backgrounds
 * @property {Background | null} background
 *
 * @typedef {object} Patches
 * @property {number[] | null} jnd
 * @property {number[] | null} p_notice
 * @property {(number | null)[]} score
 * @property {number[]} quality
 * @property {number[]} class
 * @property {boolean[]} identical
 * @property {boolean[] | null} unsure
 *
 * @typedef {object} Prediction
 * @property {string} reference
 * @property {string} distorted
 * @property {string | null} calibration
 * @property {Viewing | null} viewing
 * @property {Verdict} verdict
 * @property {PatchClass[]} classes
 * @property {{of: "quality" | "score" | "visibility", values: (number | null)[]}} cuts
 * @property {Pixels} pixels
 * @property {Grid} grid
 * @property {Patches} patches
 */

/** A request that the service refused, and the image that is at fault. */
export class Refusal extends Error {
  /**
   * @param {string} message
   * @param {string | null} image `reference`, `distorted`, or null
   */
  constructor(message, image = null) {
    super(message);
    this.image = image;
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Refusal("pixq serve does not respond; is it still running, and does the file still exist?");
  }
  if (response.ok) return response;
  const reply = await response.json().catch(() => ({}));
  throw new Refusal(reply.error ?? `pixq serve responded with status ${response.status}`, reply.image ?? null);
}

/** @returns {Promise<Model>} */
export async function getModel() {
  return (await ask("/api/model")).json();
}

/**
 * @param {{reference: File, distorted: File}} files
 * @param {Record<string, string>} fields Short fields of the request: the stride, and how people look at the images.
 * @param {AbortSignal} signal
 * @returns {Promise<Prediction>}
 */
export async function predict(files, fields, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  form.set("reference", files.reference);
  form.set("distorted", files.distorted);
  return (await ask("/api/predict", { method: "POST", body: form, signal })).json();
}

/**
 * Decode a file to the pixels that pixq sees: converted to sRGB if pixq does that, with its EXIF orientation applied. The
 * service converts formats that the browser can't show, such as TIFF, to PNG, and so it does if it scores a certain frame
 * of animations, of which browsers give the first.
 * @param {File} file
 * @param {boolean} managed Whether colours are converted.
 * @param {number | null} frame Which frame is scored.
 * @returns {Promise<ImageBitmap>}
 */
export async function decode(file, managed, frame) {
  /** @type {ImageBitmapOptions} */
  const asStored = { colorSpaceConversion: managed ? "default" : "none", imageOrientation: "from-image" };
  if (frame === null) {
    const shown = await createImageBitmap(file, asStored).catch(() => null);
    if (shown) return shown;
  }
  const form = new FormData();
  form.set("image", file);
  const response = await ask("/api/picture", { method: "POST", body: form });
  return createImageBitmap(await response.blob(), asStored);
}
