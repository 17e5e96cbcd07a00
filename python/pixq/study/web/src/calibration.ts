import { show, type App } from "./app.ts";
import { CARD, FIRST, frameWidth, NARROWEST, pxPerCm, TRIES, WIDEST } from "./card.ts";
import { screenCm, screenHeight } from "./checks.ts";
import { button, el } from "./dom.ts";
import { environment } from "./watch.ts";

/** Steps of the buttons and keys, in device pixels. */
const [FINE, COARSE] = [1, 12];

/** The person makes a frame as large as a bank card, which tells how large a centimetre is on the screen. */
export function calibration(app: App, display: HTMLElement): Promise<void> {
  const { language, session } = app;
  const say = language.say.bind(language);
  const { min_screen_cm } = session.study;
  let width = frameWidth(FIRST, window.devicePixelRatio || 1);
  let tries = 0;
  return new Promise(resolve => {
    const handle = el("span", { class: "handle", "aria-hidden": "true" });
    const frame = el("div", {
      class: "card",
      id: "card",
      role: "slider",
      tabindex: 0,
      "aria-label": say("calibration_frame"),
      "aria-describedby": "card-keys",
      "aria-valuemin": NARROWEST,
      "aria-valuemax": WIDEST,
    }, handle);
    const complaint = el("p", { class: "error", role: "alert", hidden: true });
    const set = (wanted: number): void => {
      width = frameWidth(wanted, window.devicePixelRatio || 1);
      frame.style.width = `${width}px`;
      frame.style.height = `${(width * CARD.height) / CARD.width}px`;
      frame.style.borderRadius = `${(width * CARD.radius) / CARD.width}px`;
      frame.setAttribute("aria-valuenow", String(Math.round(width)));
      frame.setAttribute("aria-valuetext", say("calibration_value", { width: Math.round(width) }));
    };
    const grow = (steps: number): void => set(width + steps / (window.devicePixelRatio || 1));
    frame.addEventListener("keydown", event => {
      const direction = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!direction) return;
      grow(direction * (event.shiftKey ? COARSE : FINE));
      event.preventDefault();
    });
    let grip: { x: number; y: number; width: number } | null = null;
    frame.addEventListener("pointerdown", event => {
      grip = { x: event.clientX, y: event.clientY, width };
      frame.setPointerCapture(event.pointerId);
    });
    frame.addEventListener("pointermove", event => {
      if (!grip) return;
      // Follow the edge that was dragged farther; the card keeps its shape.
      const [right, down] = [event.clientX - grip.x, ((event.clientY - grip.y) * CARD.width) / CARD.height];
      set(grip.width + (Math.abs(right) > Math.abs(down) ? right : down));
    });
    for (const name of ["pointerup", "pointercancel"] as const) frame.addEventListener(name, () => (grip = null));
    const done = button(say("calibration_done"), () => void send(), true);
    const sizeButton = (text: string, label: string, steps: number): HTMLButtonElement => {
      const control = button(text, () => grow(steps));
      control.setAttribute("aria-label", label);
      control.title = label;
      return control;
    };
    const send = async (): Promise<void> => {
      done.disabled = true;
      const now = environment();
      const px_per_cm = pxPerCm(width);
      const screen = screenCm(now, px_per_cm);
      tries++;
      app.calibration = { px_per_cm, environment: now };
      const fits = screen >= min_screen_cm;
      if (fits) await session.storage.saveCalibration(app.calibration).catch(() => {});
      // A calibration in the middle of the study is not a step: the server only logs it.
      await session.submit(session.state.step === "calibration" ? "calibration" : "recalibration", {
        px_per_cm,
        screen_height: screenHeight(now),
        screen_cm: screen,
        card_px: width,
        tries,
        dpr: now.dpr,
        inner: now.inner,
        outer: now.outer,
        screen: now.screen,
      });
      if (fits || session.state.step === "failed") {
        resolve();
        return;
      }
      app.calibration = null;
      const cm = (value: number) => value.toLocaleString(language.code, { maximumFractionDigits: 1 });
      complaint.textContent = say("calibration_short", { screen: cm(screen), least: cm(min_screen_cm), tries: Math.min(tries + 1, TRIES), most: TRIES });
      complaint.hidden = false;
      done.disabled = false;
      frame.focus();
    };
    set(width);
    show(display,
      el("div", { class: "sheet wide" },
        el("h1", {}, say("calibration_title")),
        el("p", { class: "lead" }, say("calibration_lead")),
        complaint,
        el("div", { class: "desk" }, frame),
        el("div", { class: "sizes", role: "group", "aria-label": say("calibration_frame") },
          sizeButton("− −", say("calibration_much_smaller"), -COARSE),
          sizeButton("−", say("calibration_smaller"), -FINE),
          sizeButton("+", say("calibration_larger"), FINE),
          sizeButton("+ +", say("calibration_much_larger"), COARSE),
        ),
        el("p", { class: "faint small", id: "card-keys" }, say("calibration_keys"), " ", say("calibration_privacy")),
        el("p", { class: "actions" }, done),
      ),
    );
    frame.focus({ preventScroll: true });
  });
}
