// @ts-check
import { colorOf, inkOn } from "./map.js";

/**
 * The texts and numbers about the whole pair, and about one patch.
 *
 * @typedef {import("./api.js").Prediction} Prediction
 * @typedef {import("./api.js").PatchClass} PatchClass
 */

/** @param {string} id */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * @param {string} tag
 * @param {string} text
 * @param {string} [kind]
 */
function make(tag, text, kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = kind;
  return made;
}

/**
 * A label with the mark, name and colour of a class.
 * @param {PatchClass} each
 * @param {boolean} safe
 */
function chip(each, safe) {
  const made = make("span", `${each.mark} ${each.name}`, "chip");
  const color = colorOf(each, safe);
  made.style.backgroundColor = color;
  made.style.color = inkOn(color);
  return made;
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/**
 * A share of people; only exactly 0 and 1 are nobody and all.
 * @param {number} share
 */
function people(share) {
  if (share > 0 && share < 0.01) return "less than 1 %";
  return share > 0.99 && share < 1 ? "more than 99 %" : `${(100 * share).toFixed(0)} %`;
}

/**
 * @param {Prediction} prediction
 * @param {boolean} safe
 */
export function showVerdict({ verdict, classes, calibration, cuts, grid, viewing }, safe) {
  element("headline").textContent = verdict.headline;
  element("viewing").hidden = viewing === null;
  element("viewing-words").textContent = viewing === null ? "" : `Seen at ${viewing.words}`;
  const bar = element("bar");
  const list = element("shares");
  bar.replaceChildren();
  list.replaceChildren();
  for (const { class: number, share, percent: text } of verdict.shares) {
    const each = classes[number];
    const part = make("span", share > 0.06 ? each.mark : "");
    part.style.flexGrow = String(share);
    part.style.backgroundColor = colorOf(each, safe);
    part.style.color = inkOn(colorOf(each, safe));
    part.hidden = share === 0;
    bar.append(part);
    const item = make("li", "");
    item.append(chip(each, safe), make("strong", text), make("span", each.meaning, "faint"));
    list.append(item);
  }
  const numbers = element("numbers");
  numbers.replaceChildren();
  /** @type {[string, string, string][]} */
  const facts = [
    ...(verdict.jnd === null ? [] : [
      /** @type {[string, string, string]} */ (["JND", verdict.jnd.toFixed(2), "0 is no difference; at 1, half of the people notice"]),
    ]),
    ["Quality", verdict.quality.toFixed(3), "what people would rate, 0 to 1; higher is better"],
    ["Worst", verdict.worst.toFixed(3), `${verdict.worst_percentile} % of the patches have this quality or less`],
    ["Unchanged", percent(verdict.identical), "patches equal to the reference in every pixel"],
  ];
  if (verdict.unsure !== null) facts.push(["Unsure", percent(verdict.unsure), "patches whose class may be another; struck through on the map"]);
  const patches = (grid.rows * grid.columns).toLocaleString("en");
  const decides = calibration === null ? `no calibration, so ${cuts.of} decides` : `calibration ${calibration}`;
  const worst = verdict.jnd === null ? "" : `${verdict.patches.replace(/\.$/, "")}: `;
  facts.push(["Patches", patches, `${worst}${grid.size} × ${grid.size} pixels, one every ${grid.stride}; ${decides}`]);
  for (const [name, value, note] of facts) {
    const box = document.createElement("div");
    box.append(make("dt", name), make("dd", value, "value"), make("dd", note, "note"));
    numbers.append(box);
  }
}

/**
 * The texts about a patch.
 * @param {Prediction} prediction
 * @param {number} number
 */
export function patchWords({ grid, patches, classes, cuts }, number) {
  const row = Math.floor(number / grid.columns);
  const column = number % grid.columns;
  const score = patches.score[number];
  const sure = patches.unsure === null ? "" : patches.unsure[number] ? "unsure" : "sure";
  // Cuts of visibility are of minus the JND.
  const limit = (/** @type {number} */ cut) => (cuts.of === "visibility" ? `up to ${(-cut).toFixed(2)} JND` : `from ${cut.toFixed(3)}`);
  const words = cuts.values.map((cut, at) => (cut === null ? "" : `${classes[at + 1].name} ${limit(cut)}`)).filter(Boolean);
  return {
    each: classes[patches.class[number]],
    sure,
    visibility: patches.jnd === null || patches.p_notice === null ? "" :
      patches.identical[number] ? "none: equal to the reference" :
      `${patches.jnd[number].toFixed(2)} JND: noticed by ${people(patches.p_notice[number])}`,
    quality: patches.quality[number].toFixed(3),
    // Minus the JND where visibility decides, which is said already.
    score: cuts.of === "visibility" ? "" :
      patches.identical[number] || score === null ? "none: equal to the reference" : score.toFixed(4),
    cuts: /** @type {Record<string, string>} */ ({ [cuts.of]: words.join(", ") }),
    place: `y ${grid.ys[row]}, x ${grid.xs[column]}`,
    cell: `row ${row + 1} of ${grid.rows}, column ${column + 1} of ${grid.columns}`,
  };
}

/**
 * @param {Prediction} prediction
 * @param {number} number
 * @param {{reference: ImageBitmap, distorted: ImageBitmap}} images
 * @param {boolean} safe
 */
export function showPatch(prediction, number, images, safe) {
  element("no-patch").hidden = true;
  element("the-patch").hidden = false;
  const words = patchWords(prediction, number);
  element("patch-class").replaceChildren(
    chip(words.each, safe),
    ...(words.sure ? [make("span", ` ${words.sure}`)] : []),
    make("span", words.each.meaning, "note"),
  );
  for (const name of /** @type {const} */ (["visibility", "quality", "score"])) {
    const fact = element(`patch-${name}`);
    fact.replaceChildren(make("span", words[name]), make("span", words.cuts[name] ?? "", "note"));
    fact.hidden = /** @type {HTMLElement} */ (fact.previousElementSibling).hidden = words[name] === "";
  }
  element("patch-place").replaceChildren(make("span", words.place), make("span", words.cell, "note"));
  const { xs, ys, size, columns } = prediction.grid;
  const [x, y] = [xs[number % columns], ys[Math.floor(number / columns)]];
  for (const name of /** @type {const} */ (["reference", "distorted"])) {
    const canvas = /** @type {HTMLCanvasElement} */ (element(`crop-${name}`));
    canvas.width = canvas.height = size;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.drawImage(images[name], x, y, size, size, 0, 0, size, size);
  }
}

/** No patch is looked at. */
export function hidePatch() {
  element("no-patch").hidden = false;
  element("the-patch").hidden = true;
}
