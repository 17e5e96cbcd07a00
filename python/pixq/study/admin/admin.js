/** The experimenter's page: statistics of the study, requested again every 30 seconds. */

const INTERVAL = 30_000;
const byId = id => document.getElementById(id);
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
  // A table that is wider than the window scrolls in its frame, also with the keyboard.
  const frame = make("div", null, make("table", null, ...top, make("tbody", null, ...body)));
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", title);
  return make("section", null, make("h2", title), frame);
}

function bar(value, max, label) {
  const element = document.createElement("progress");
  element.max = max;
  element.value = Math.min(value, max);
  element.setAttribute("aria-label", label);
  return element;
}

/** What failed since the server started, the most recent first. */
function showFailures(failures) {
  const time = text => new Date(text).toLocaleString();
  const rows = failures.map(failure => [
    failure.kind, failure.message, String(failure.count), time(failure.first), time(failure.last),
  ]);
  const head = ["failure", "reason", "times", "first", "last"];
  byId("failures").replaceChildren(...(rows.length ? [table("Failures since the server started", head, rows)] : []));
  byId("failures").hidden = !failures.length;
}

function show(statistics) {
  byId("title").textContent = statistics.title;
  document.title = statistics.title;
  const pairs = object => Object.entries(object).map(([name, count]) => [name, String(count)]);
  byId("statistics").replaceChildren(
    table("All", ["", ""], [
      ["answers that count, of those needed", `${statistics.stored} of ${statistics.wanted}`],
      ["people", String(statistics.people)],
      ["people screened out by test images", String(statistics.standings.screened_out ?? 0)],
      ["test images passed", percent(statistics.pass_rate)],
      ["time per answer (median)", seconds(statistics.seconds)],
      ["late frames", percent(statistics.late)],
    ]),
    table("Sources", ["source", "answers", "excluded", "progress", "PJND (median)", "95 % interval", "time (median)"], statistics.sources.map(source => [
      source.id, `${source.counted} of ${source.quota}`, String(source.answers - source.counted), bar(source.counted, source.quota, source.id),
      number(source.pjnd), source.low === null ? "–" : `${number(source.low)} to ${number(source.high)}`, seconds(source.seconds),
    ])),
    table("Test images", ["image", "answers", "level in range", "two points matched", "passed"], statistics.tests.map(image => [
      image.id, String(image.answers), String(image.in_range), String(image.matched), String(image.passed),
    ])),
    table("Ended sessions", ["end", "sessions", "reason"], Object.entries(statistics.ends).map(([step, count]) => [
      step, String(count), pairs(statistics.reasons[step] ?? {}).map(pair => pair.join(" ")).join(", ") || "–",
    ])),
    table("Unfinished sessions by step", ["step", "sessions"], pairs(statistics.dropouts)),
    table("Flagged answers", ["flag", "answers"], pairs(statistics.flags)),
  );
  byId("statistics").hidden = false;
}

let timer = 0;
let due = false;

async function request() {
  clearTimeout(timer);
  due = false;
  try {
    const response = await fetch("/api/admin", { headers: { authorization: `Bearer ${byId("token").value.trim()}` } });
    const body = await response.json();
    showFailures(body.failures ?? []);
    if (!response.ok) {
      byId("status").textContent = body.error;
      byId("statistics").hidden = true;
      if (response.status === 503) timer = setTimeout(refresh, INTERVAL);
      else byId("token").select();
      return;
    }
    show(body);
    const then = new Date(Date.now() - 1000 * Number(response.headers.get("age") ?? 0));
    byId("status").textContent = `As of ${then.toLocaleTimeString()}.`;
  } catch {
    byId("status").textContent = "The server is not responding.";
  }
  timer = setTimeout(refresh, INTERVAL);
}

/** A hidden tab requests nothing until it is shown again. */
function refresh() {
  if (document.hidden) due = true;
  else request();
}

document.addEventListener("visibilitychange", () => {
  if (due) refresh();
});

byId("enter").addEventListener("submit", event => {
  event.preventDefault();
  request();
});
