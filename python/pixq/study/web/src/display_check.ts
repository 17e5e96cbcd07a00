import { measureRate } from "../../../http/assets/flicker.js";
import { show, type App } from "./app.ts";
import { isHandheld, leastRate, notReady, zoomOf } from "./checks.ts";
import { button, el } from "./dom.ts";
import { environment, observe } from "./watch.ts";

interface Row {
  root: HTMLElement;
  set: (fine: boolean | null, text: string) => void;
}

function row(app: App, title: string): Row {
  const mark = el("span", { class: "mark" });
  const note = el("span", { class: "note" });
  const root = el("li", {}, mark, el("span", { class: "what" }, title), note);
  let before = "";
  return {
    root,
    set(fine, text) {
      // A screen reader reads again only what changed.
      const now = `${fine} ${text}`;
      if (now === before) return;
      before = now;
      root.className = fine === null ? "open" : fine ? "fine" : "bad";
      mark.textContent = fine === null ? "…" : fine ? "✓" : "✗";
      mark.setAttribute("aria-label", fine === null ? "" : app.language.say(fine ? "check_yes" : "check_no"));
      mark.setAttribute("role", "img");
      note.textContent = text;
    },
  };
}

/** Checks of the device, the window and the display, which update as soon as something is fixed. */
export function displayCheck(app: App, display: HTMLElement): Promise<void> {
  const { language, session } = app;
  const { study } = session;
  const say = language.say.bind(language);
  const about = navigator as Navigator & { userAgentData?: { mobile: boolean } };
  const handheld = isHandheld({
    userAgent: about.userAgent,
    mobile: about.userAgentData?.mobile,
    touchPoints: about.maxTouchPoints,
  });
  return new Promise(resolve => {
    const rows = {
      handheld: row(app, say("check_handheld")),
      small: row(app, say("check_window")),
      maximised: row(app, say("check_maximised")),
      pinch: row(app, say("check_pinch")),
      rate: row(app, say("check_rate")),
    };
    const go = button(say("continue"), () => void send(), true);
    const again = button(say("check_again"), () => void measure());
    show(display,
      el("div", { class: "sheet" },
        el("h1", {}, say("check_title")),
        el("p", { class: "lead" }, say("check_lead")),
        el("ul", { class: "checks", role: "status" }, ...Object.values(rows).map(({ root }) => root)),
        el("p", { class: "actions" }, go, again),
      ),
    );
    let measuring = false;
    let sent = false;
    const look = (): void => {
      const now = environment();
      const problems = notReady(now, study.min_window);
      const [least_width, least_height] = study.min_window;
      const small = { width: now.inner[0], height: now.inner[1], least_width, least_height };
      rows.handheld.set(!handheld, handheld ? say("check_handheld_no") : "");
      rows.small.set(!problems.includes("small"), problems.includes("small") ? say("check_window_no", small) : `${now.inner[0]} × ${now.inner[1]}`);
      rows.maximised.set(!problems.includes("maximised"), problems.includes("maximised") ? say("check_maximised_no") : "");
      rows.pinch.root.hidden = !problems.includes("pinch");
      rows.pinch.set(!problems.includes("pinch"), problems.includes("pinch") ? say("check_pinch_no") : "");
      const fast = app.rate >= leastRate(study.hertz);
      const values = { rate: Math.round(app.rate * 10) / 10, least: leastRate(study.hertz) };
      if (measuring || !app.rate) rows.rate.set(null, say("check_rate_wait"));
      else rows.rate.set(fast, say(fast ? "check_rate_yes" : "check_rate_no", values));
      again.hidden = measuring || fast;
      go.disabled = sent || measuring || !fast || handheld || problems.length > 0;
    };
    const measure = async (): Promise<void> => {
      measuring = true;
      look();
      app.rate = await measureRate();
      measuring = false;
      look();
    };
    const stop = observe(look);
    const send = async (): Promise<void> => {
      // Once: on a slow connection it must not be sent twice.
      sent = go.disabled = true;
      const now = environment();
      await session.submit("check", {
        mobile: handheld,
        width: now.inner[0],
        height: now.inner[1],
        rate: app.rate,
        maximised: !notReady(now, study.min_window).includes("maximised"),
        dpr: now.dpr,
        zoom: zoomOf(now),
        screen: now.screen,
      });
      stop();
      resolve();
    };
    // A phone can't be fixed: the study ends and says so.
    void measure().then(() => (handheld ? send() : undefined));
  });
}
