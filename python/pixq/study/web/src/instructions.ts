import { nativeSize } from "../flicker-jnd/sizes.ts";
import { Stage } from "../flicker-jnd/stage.ts";
import { show, type App } from "./app.ts";
import { button, el } from "./dom.ts";
import { EXAMPLE, example } from "./example.ts";

/** What to do, beside an example that flickers. */
export function instructions(app: App, display: HTMLElement): Promise<void> {
  const { language, session } = app;
  const { study } = session;
  const say = language.say.bind(language);
  return new Promise(resolve => {
    const dpr = window.devicePixelRatio || 1;
    const size = nativeSize(EXAMPLE.width * dpr, EXAMPLE.height * dpr, dpr);
    const draw = (strength: number) => example(strength, size.width_device, size.height_device);
    const reference = draw(0);
    const stage = new Stage(reference, { size, ...EXAMPLE, hertz: study.hertz, rate: app.rate });
    stage.root.setAttribute("role", "img");
    stage.root.setAttribute("aria-label", say("instructions_example"));
    let distorted: ImageBitmap | null = null;
    let moved = false;
    const hint = el("p", { class: "faint", role: "status" }, say("instructions_move"));
    const slider = el("input", { type: "range", id: "example-slider", class: "fj-slider", min: 0, max: 100, step: 1, value: 0 });
    slider.addEventListener("input", () => {
      // The pictures are disposed by then, but the page stays until the server has answered.
      if (slider.disabled) return;
      moved = true;
      hint.textContent = "";
      const value = Number(slider.value);
      const before = distorted;
      distorted = value ? draw(value / 100) : null;
      stage.show(reference, distorted);
      before?.close();
      go.disabled = !moved;
    });
    const go = button(say("instructions_begin"), () => {
      go.disabled = slider.disabled = true;
      stage.dispose();
      reference.close();
      distorted?.close();
      void session.submit("instructions").then(resolve);
    }, true);
    go.disabled = true;
    const part = (title: string, text: string) => el("li", {}, el("h2", {}, title), el("p", {}, text));
    show(display,
      el("div", { class: "sheet wide" },
        el("h1", {}, say("instructions_title")),
        el("div", { class: "two" },
          el("ol", { class: "parts" },
            part(say("instructions_1_title"), say("instructions_1")),
            part(say("instructions_2_title"), say("instructions_2")),
            part(say("instructions_3_title"), say("instructions_3", { clicks: study.clicks })),
          ),
          el("div", { class: "fj example" },
            el("div", { class: "fj-surround" }, stage.root),
            el("p", { class: "try" }, el("label", { for: "example-slider" }, say("instructions_slider")), slider),
          ),
        ),
        el("p", {}, say("instructions_distance", { distance: study.distance_cm })),
        el("p", {}, say("instructions_training")),
        el("p", { class: "actions" }, go, hint),
      ),
    );
    stage.settle();
  });
}
