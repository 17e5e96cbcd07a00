// @ts-check
import { decode, getModel, predict, Refusal } from "./api.js";
import { Zone } from "./drop.js";
import { mapPicture, Overlay } from "./map.js";
import { hidePatch, patchWords, showPatch, showVerdict } from "./verdict.js";
import { Viewer } from "./viewer.js";
import { fillViewing, listenToViewing, viewingFields } from "./viewing.js";

/**
 * Connects the parts of the page.
 *
 * @typedef {import("./api.js").Model} Model
 * @typedef {import("./api.js").Prediction} Prediction
 * @typedef {import("./viewer.js").View} View
 */

/** @param {string} id */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** The keys of the views. */
const KEYS = /** @type {Record<string, View>} */ ({
  1: "reference", 2: "distorted", 3: "map", 4: "flip", r: "reference", d: "distorted", m: "map", f: "flip",
});
const ARROWS = /** @type {Record<string, [number, number]>} */ ({
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
});

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const stride = /** @type {HTMLSelectElement} */ (element("stride"));
const safe = /** @type {HTMLInputElement} */ (element("safe"));
const opacity = /** @type {HTMLInputElement} */ (element("opacity"));

/** @type {Model | null} */
let model = null;
/** @type {Prediction | null} */
let prediction = null;
/** @type {Overlay | null} */
let overlay = null;
let asking = new AbortController();

const zones = [new Zone(element("reference"), take), new Zone(element("distorted"), take)];
const [reference, distorted] = zones;

const viewer = new Viewer({
  stage: element("stage"),
  picture: /** @type {HTMLCanvasElement} */ (element("picture")),
  cursor: /** @type {HTMLCanvasElement} */ (element("cursor")),
  onPatch(number, byKey) {
    updatePatch(number);
    if (!byKey || !prediction) return;
    const words = patchWords(prediction, number);
    element("said").textContent = [
      `${words.each.name} ${words.sure}`.trim(), ...(words.visibility ? [words.visibility] : []), `quality ${words.quality}`, words.place,
    ].join(", ");
  },
  onFlip(log, shown, running) {
    element("hold").setAttribute("aria-pressed", String(!running));
    const now = element(`${zones[shown].name}-title`).textContent;
    const pace = log && log.achieved ? `${log.achieved.toFixed(1)} images per second: ${log.frames} refreshes each on a ` +
      `${log.rate.toFixed(0)} Hz display, ${log.late} of them late` : running ? "Measuring the display…" : "";
    element("pace").textContent = running ? pace : `Held at: ${now}. ${pace}`;
  },
  onZoom(scale, fits) {
    element("zoom").textContent = `${(100 * scale).toFixed(scale < 0.1 ? 1 : 0)} %`;
    element("stage").classList.toggle("fits", fits);
  },
});

/** @param {number} number A patch, or -1 for none. */
function updatePatch(number) {
  if (number < 0 || !prediction || !reference.bitmap || !distorted.bitmap) hidePatch();
  else showPatch(prediction, number, { reference: reference.bitmap, distorted: distorted.bitmap }, safe.checked);
}

/**
 * Put files into zones: the first into this one, and a second into the other.
 * @param {Zone} zone
 * @param {File[]} files
 */
async function take(zone, files) {
  const other = zone === reference ? distorted : reference;
  element("error").hidden = true;
  asking.abort();
  const taken = await Promise.all([load(zone, files[0]), ...(files[1] ? [load(other, files[1])] : [])]);
  if (taken.every(Boolean)) await score(false);
}

/**
 * @param {Zone} zone
 * @param {File} file
 * @returns {Promise<boolean>} Whether it is an image, and the newest one for its zone.
 */
async function load(zone, file) {
  const wanted = Symbol(file.name);
  newest.set(zone, wanted);
  zone.root.setAttribute("aria-busy", "true");
  try {
    if (model && file.size > model.limits.bytes) {
      throw new Refusal(`${file.name}: is larger than the limit of ${model.limits.bytes / 2 ** 20} MiB per file; choose a smaller one`);
    }
    const bitmap = await decode(file, model?.colour_management ?? true, model?.frame ?? null);
    if (newest.get(zone) !== wanted) {
      bitmap.close();
      return false;
    }
    zone.fill(file, bitmap);
    return true;
  } catch (error) {
    if (newest.get(zone) === wanted) refuse(zone, error);
    return false;
  } finally {
    if (newest.get(zone) === wanted) zone.root.removeAttribute("aria-busy");
    arrange();
  }
}
/** @type {Map<Zone, symbol>} */
const newest = new Map();

/**
 * @param {Zone} zone
 * @param {unknown} error
 */
function refuse(zone, error) {
  conceal();
  zone.empty();
  zone.complain(error instanceof Error ? error.message : String(error));
}

/** Hide the result, which no longer matches the images. */
function conceal() {
  prediction = null;
  element("result").hidden = true;
  viewer.clear();
}

function arrange() {
  const both = Boolean(reference.file && distorted.file);
  element("swap").hidden = !both;
  element("zones").classList.toggle("both", both);
}

/**
 * Score the images, if both zones have one.
 * @param {boolean} same Whether the result that is shown is for these images.
 */
async function score(same) {
  asking.abort();
  const own = (asking = new AbortController());
  const files = { reference: reference.file, distorted: distorted.file };
  element("error").hidden = true;
  if (!files.reference || !files.distorted) return;
  if (!same) conceal();
  element("busy").hidden = false;
  try {
    const answer = await predict({ reference: files.reference, distorted: files.distorted }, { stride: stride.value, ...viewingFields() }, own.signal);
    if (own.signal.aborted) return;
    for (const zone of zones) await zone.putOn(answer.pixels.background);
    if (own.signal.aborted) return;
    show(answer, same);
  } catch (error) {
    if (own.signal.aborted) return;
    const zone = error instanceof Refusal ? zones.find(each => each.name === error.image) : undefined;
    if (zone) refuse(zone, error);
    else {
      if (same && prediction) stride.value = String(prediction.grid.stride);
      element("error").textContent = error instanceof Error ? error.message : String(error);
      element("error").hidden = false;
      element("error").scrollIntoView({ block: "nearest" });
    }
    arrange();
  } finally {
    if (own === asking) element("busy").hidden = true;
  }
}

/**
 * @param {Prediction} answer
 * @param {boolean} same
 */
function show(answer, same) {
  if (!reference.bitmap || !distorted.bitmap) return;
  prediction = answer;
  overlay = new Overlay(answer);
  element("result").hidden = false;
  showVerdict(answer, safe.checked);
  viewer.show({ reference: reference.bitmap, distorted: distorted.bitmap, overlay }, same);
  // A flip does not go on with other images: it starts when it is chosen again.
  setView(same && viewer.view !== "flip" ? viewer.view : "map");
}

/** @param {View} view */
function setView(view) {
  for (const input of document.querySelectorAll("input[name=view]")) {
    /** @type {HTMLInputElement} */ (input).checked = /** @type {HTMLInputElement} */ (input).value === view;
  }
  element("flip").hidden = view !== "flip";
  // On systems that prefer reduced motion, the flip starts only after one more press.
  viewer.setView(view, calm.matches);
}

/**
 * @param {Blob} blob
 * @param {string} suffix
 */
function save(blob, suffix) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${(prediction?.distorted ?? "pixq").replace(/\.[^.]*$/, "")}${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {DataTransfer | null} data */
function filesOf(data) {
  return [...(data?.files ?? [])];
}

/** @param {EventTarget | null} target */
function zoneAt(target) {
  return zones.find(zone => target instanceof Node && zone.root.contains(target));
}

/** The zone for a file that was not dropped on one: the first that is empty. */
function free() {
  return zones.find(zone => !zone.file) ?? distorted;
}

function listen() {
  document.addEventListener("dragover", event => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    for (const zone of zones) zone.over = zone === (zoneAt(event.target) ?? free());
  });
  document.addEventListener("dragleave", event => {
    if (!event.relatedTarget) for (const zone of zones) zone.over = false;
  });
  document.addEventListener("drop", event => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    for (const zone of zones) zone.over = false;
    const files = filesOf(event.dataTransfer);
    if (files.length) void take(zoneAt(event.target) ?? (files.length > 1 ? reference : free()), files);
  });
  document.addEventListener("paste", event => {
    const files = filesOf(event.clipboardData);
    if (files.length) void take(zoneAt(document.activeElement) ?? (files.length > 1 ? reference : free()), files);
  });
  element("swap").addEventListener("click", () => {
    if (!reference.file || !distorted.file) return;
    const [first, second] = zones.map(zone => zone.take());
    if (!first || !second) return;
    reference.fill(second.file, second.decoded);
    distorted.fill(first.file, first.decoded);
    void score(false);
  });
  element("views").addEventListener("change", event => setView(/** @type {any} */ (event.target).value));
  element("hold").addEventListener("click", () => viewer.hold(!viewer.held));
  for (const button of document.querySelectorAll("[data-zoom]")) {
    const zoom = /** @type {HTMLElement} */ (button).dataset.zoom ?? "fit";
    button.addEventListener("click", () => viewer.setZoom(/** @type {any} */ (Number(zoom) || zoom)));
  }
  opacity.addEventListener("input", () => {
    element("opacity-value").textContent = `${opacity.value} %`;
    viewer.setHow({ opacity: Number(opacity.value) / 100 });
  });
  safe.addEventListener("change", () => {
    viewer.setHow({ safe: safe.checked });
    if (prediction) showVerdict(prediction, safe.checked);
    updatePatch(viewer.patch);
  });
  stride.addEventListener("change", () => void score(true));
  listenToViewing(() => void score(true));
  element("save-json").addEventListener("click", () => {
    if (prediction) save(new Blob([JSON.stringify(prediction)], { type: "application/json" }), ".pixq.json");
  });
  element("save-png").addEventListener("click", async () => {
    if (!overlay || !distorted.bitmap) return;
    const how = { safe: safe.checked, opacity: Number(opacity.value) / 100 };
    save(await mapPicture(distorted.bitmap, overlay, how), ".map.png");
  });
  document.addEventListener("keydown", pressed);
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  if (!prediction || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = /** @type {HTMLElement} */ (event.target);
  const stage = target === element("stage");
  // Controls that use keys themselves keep them.
  if (!stage && target.closest("select, textarea, input:not([type=radio])")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key in KEYS) setView(KEYS[key]);
  else if (key === " " && viewer.view === "flip" && !target.closest("button, a")) viewer.hold(!viewer.held);
  else if (key === "+" || key === "=") viewer.setZoom("in");
  else if (key === "-") viewer.setZoom("out");
  else if (key === "0") viewer.setZoom("fit");
  else if (stage && key in ARROWS) viewer.step(...ARROWS[key]);
  else return;
  event.preventDefault();
}

async function begin() {
  listen();
  element("opacity-value").textContent = `${opacity.value} %`;
  try {
    model = await getModel();
  } catch (error) {
    element("error").textContent = /** @type {Error} */ (error).message;
    element("error").hidden = false;
    return;
  }
  for (const each of model.strides) {
    const pixels = `${each} pixels`;
    stride.add(new Option(pixels, String(each), each === model.stride, each === model.stride));
  }
  fillViewing(model);
  const { limits, size } = model;
  const formats = limits.formats.slice(0, -1).join(", "), last = limits.formats.at(-1);
  element("limits").textContent = `${formats} or ${last}; ${size} × ${size} pixels or more, up to ` +
    `${limits.pixels / 1e6} megapixels and ${+(limits.bytes / 2 ** 20).toFixed(2)} MiB per file. ` +
    "Both are sent only to the pixq that serves this page, which does not keep them.";
  const facts = [`pixq ${model.pixq}`];
  if (model.model) facts.push(`model ${model.model}`);
  if (model.fingerprint) facts.push(`weights ${model.fingerprint.slice(0, 12)}`);
  if (model.calibration) facts.push(`calibration ${model.calibration}`);
  element("about").textContent = facts.join(" · ");
}

void begin();
