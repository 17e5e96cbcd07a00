import { Pictures } from "../flicker-jnd/pictures.ts";
import { Stage } from "../flicker-jnd/stage.ts";
import { show, sizeOf, type App } from "./app.ts";
import { button, el } from "./dom.ts";
import type { Feedback } from "./protocol.ts";

/** Feedback on a training answer: the accepted range, and the expected places as circles. */
export async function feedback(app: App, display: HTMLElement, result: Feedback): Promise<void> {
  const { language, session } = app;
  const say = language.say.bind(language);
  const [from, to] = result.pjnd_range;
  const again = session.state.step === "training" && session.state.trial?.key === result.key;
  // After a reload the answer is not known any more; what was expected is shown all the same.
  const answered = app.answered?.spec.key === result.key ? app.answered : null;
  const spec = answered?.spec ?? (again ? session.state.trial : null);
  const controls = el("div", { class: "fj-controls" }, el("h1", {}, say(result.passed ? "feedback_yes" : "feedback_no")));
  if (answered) {
    const { pjnd, spec: { clicks } } = answered;
    const key = result.in_range ? "feedback_level_yes" : pjnd > to ? "feedback_level_high" : "feedback_level_low";
    controls.append(el("p", {}, say(key, { pjnd, from, to })));
    controls.append(el("p", {}, say("feedback_places", { matched: result.matched.length, clicks })));
  } else controls.append(el("p", {}, say("feedback_level_range", { from, to })));
  const go = new Promise<void>(resolve => {
    const buttons = el("p", { class: "actions" }, button(say(again ? "feedback_again" : "continue"), resolve, true));
    if (!spec) {
      show(display, el("div", { class: "fj" }, controls));
      controls.append(buttons);
      return;
    }
    controls.append(el("p", {}, say("feedback_circles")), buttons);
  });
  if (!spec) return go;
  const size = sizeOf(app, spec.width, spec.height);
  const surround = el("div", { class: "fj-surround" }, el("p", { class: "fj-message" }, language.trial.loading));
  const root = el("div", { class: "fj" }, surround, controls);
  root.style.setProperty("--fj-width", `${size.width_css}px`);
  root.style.setProperty("--fj-height", `${size.height_css}px`);
  show(display, root);
  const level = [...spec.levels].sort((a, b) => Math.abs(a.level - to) - Math.abs(b.level - to))[0];
  const images = [spec.reference, ...(level ? [level.image] : [])];
  const pictures = new Pictures({ images, load: app.load, width: spec.width, height: spec.height, size });
  let stage: Stage | null = null;
  void pictures.ready().then(async () => {
    const reference = await pictures.get(0);
    stage = new Stage(reference, { size, width: spec.width, height: spec.height, hertz: session.study.hertz, rate: app.rate });
    stage.root.setAttribute("role", "img");
    stage.root.setAttribute("aria-label", say("feedback_picture"));
    surround.replaceChildren(stage.root);
    stage.settle();
    stage.mark(answered?.points ?? [], { circles: result.points.map(at => ({ at, radius: result.radius })) });
    stage.show(reference, level ? await pictures.get(1) : null);
  }).catch(() => {
    // The text says everything; the picture only illustrates it.
    surround.remove();
  });
  await go;
  stage = stage as Stage | null;
  stage?.dispose();
  pictures.dispose();
}
