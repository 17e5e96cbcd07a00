/** The experimenter's page: figures of the study, asked for again every half minute. */

const EVERY = 30_000;
const find = id => document.getElementById(id);
const percent = value => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);
const seconds = value => (value === null ? "–" : `${value.toFixed(1)} s`);
const number = value => (value === null ? "–" : String(Math.round(10 * value) / 10));

function make(name, text, ...children) {
  const element = document.createElement(name);
  if (text !== null) element.textContent = text;
  element.append(...children);
  return element;
}

function table(title, head, rows) {
  const line = (cells, kind) => make("tr", null, ...cells.map(cell => (cell instanceof Node ? make("td", null, cell) : make(kind, cell))));
  if (!rows.length) return make("section", null, make("h2", title), make("p", "None yet."));
  const body = rows.map(row => line(row, "td"));
  const columns = line(head, "th");
  for (const cell of columns.children) cell.scope = "col";
  const top = head.some(Boolean) ? [make("thead", null, columns)] : [];
  // Wider than the window, it is scrolled by itself, also by keys.
  const frame = make("div", null, make("table", null, ...top, make("tbody", null, ...body)));
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", title);
  return make("section", null, make("h2", title), frame);
}

function bar(value, most, label) {
  const element = document.createElement("progress");
  element.max = most;
  element.value = Math.min(value, most);
  element.setAttribute("aria-label", label);
  return element;
}

function show(figures) {
  find("title").textContent = figures.title;
  document.title = figures.title;
  const pairs = object => Object.entries(object).map(([name, count]) => [name, String(count)]);
  find("figures").replaceChildren(
    table("All", ["", ""], [
      ["answers that count, of those wanted", `${figures.stored} of ${figures.wanted}`],
      ["people", String(figures.people)],
      ["people screened out by test images", String(figures.standings.screened_out ?? 0)],
      ["test images passed", percent(figures.pass_rate)],
      ["time of an answer (median)", seconds(figures.seconds)],
      ["late frames", percent(figures.late)],
    ]),
    table("Sources", ["source", "answers", "left out", "progress", "PJND (median)", "95 % interval", "time (median)"], figures.sources.map(each => [
      each.id, `${each.counted} of ${each.quota}`, String(each.answers - each.counted), bar(each.counted, each.quota, each.id), number(each.pjnd),
      each.low === null ? "–" : `${number(each.low)} to ${number(each.high)}`, seconds(each.seconds),
    ])),
    table("Test images", ["image", "answers", "level in range", "two places", "passed"], figures.tests.map(each => [
      each.id, String(each.answers), String(each.in_range), String(each.matched), String(each.passed),
    ])),
    table("Sessions that ended", ["end", "sessions", "why"], Object.entries(figures.ends).map(([step, count]) => [
      step, String(count), pairs(figures.reasons[step] ?? {}).map(pair => pair.join(" ")).join(", ") || "–",
    ])),
    table("Sessions that did not end, by step", ["step", "sessions"], pairs(figures.dropouts)),
    table("Answers with a flag", ["flag", "answers"], pairs(figures.flags)),
  );
  find("figures").hidden = false;
}

let timer = 0;
let due = false;

async function ask() {
  clearTimeout(timer);
  due = false;
  try {
    const answer = await fetch("/api/admin", { headers: { authorization: `Bearer ${find("token").value.trim()}` } });
    const told = await answer.json();
    if (!answer.ok) {
      find("said").textContent = told.error;
      find("figures").hidden = true;
      find("token").select();
      return;
    }
    show(told);
    const then = new Date(Date.now() - 1000 * Number(answer.headers.get("age") ?? 0));
    find("said").textContent = `As of ${then.toLocaleTimeString()}.`;
  } catch {
    find("said").textContent = "The server does not answer.";
  }
  timer = setTimeout(again, EVERY);
}

/** A tab that nobody looks at asks for nothing; it asks as soon as it is looked at. */
function again() {
  if (document.hidden) due = true;
  else ask();
}

document.addEventListener("visibilitychange", () => {
  if (due) again();
});

find("enter").addEventListener("submit", event => {
  event.preventDefault();
  ask();
});
