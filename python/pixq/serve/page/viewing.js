// @ts-check
/**
 * The controls that say how people look at the images.
 *
 * @typedef {import("./api.js").Model} Model
 * @typedef {import("./api.js").Viewing} Viewing
 */

/** The controls, by the names of the request's fields. */
const NAMES = /** @type {const} */ (["task", "display", "distance", "ppd", "peak_luminance", "ambient"]);

/** @param {string} id */
function control(id) {
  return /** @type {HTMLInputElement | HTMLSelectElement} */ (document.getElementById(id));
}

/**
 * Set the controls to what the service assumes.
 * @param {Model} model
 */
export function fillViewing({ viewing, tasks }) {
  const task = /** @type {HTMLSelectElement} */ (control("task"));
  for (const { name, words } of tasks) task.add(new Option(words, name, name === viewing.task, name === viewing.task));
  const named = viewing.display !== null && viewing.distance !== null;
  control("display").value = viewing.display ?? "";
  control("distance").value = viewing.distance === null ? "" : `${+(100 * viewing.distance).toFixed(2)}cm`;
  control("ppd").value = named ? "" : String(viewing.pixels_per_degree);
  control("peak_luminance").value = String(viewing.peak_luminance);
  control("ambient").value = String(viewing.ambient);
  arrange();
}

/** Pixels per degree count instead of a display and a distance. */
function arrange() {
  for (const name of ["display", "distance"]) control(name).disabled = control("ppd").value.trim() !== "";
}

/**
 * The fields of a request that say how people look at the images; what is empty is left to the service.
 * @returns {Record<string, string>}
 */
export function viewingFields() {
  const used = NAMES.filter(name => !control(name).disabled && control(name).value.trim() !== "");
  return Object.fromEntries(used.map(name => [name, control(name).value.trim()]));
}

/**
 * Call `changed` when somebody has changed a control.
 * @param {() => void} changed
 */
export function listenToViewing(changed) {
  for (const name of NAMES) control(name).addEventListener("change", () => (arrange(), changed()));
  control("ppd").addEventListener("input", arrange);
}
