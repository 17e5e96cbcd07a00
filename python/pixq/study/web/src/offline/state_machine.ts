/**
 * What comes next in a session: what `pixq.study.session.state_machine` says, for a page without a server.
 *
 * A test runs both on the same events. Which trials are hidden tests is not known here, so trials are only counted.
 */

import constants from "../../../constants.json" with { type: "json" };
import type { Feedback, Kind, Point, Question, Step, StudyEvent } from "../protocol.ts";
import { surveyRefusal } from "../survey_answers.ts";
import { judge, radius } from "./judge.ts";

export interface Item {
  key: string;
  width: number;
  height: number;
  levels: readonly number[];
}

export interface TrainingItem extends Item {
  pjnd_range: [number, number];
  points: Point[];
}

export interface SessionPlan {
  study: { min_window: [number, number]; min_screen_cm: number; hertz: number; clicks: number; survey: readonly Question[] };
  training: readonly TrainingItem[];
  trials: readonly Item[];
}

export interface Progress {
  next: number;
  step: Step;
  index: number;
  tries: number;
  reason: string;
  feedback: Feedback | null;
}

export const BEGIN: Progress = { next: 0, step: "consent", index: 0, tries: 0, reason: "", feedback: null };

const { flow, limits, judgement } = constants;

type Data = Record<string, unknown>;

/** Where a session is after one more event, and why the event was refused; empty if it was not. */
export function advance(plan: SessionPlan, progress: Progress, event: Pick<StudyEvent, "number" | "kind" | "data">): [Progress, string] {
  const unchanged = { ...progress, next: event.number + 1 };
  const { kind, data } = event;
  if (constants.events[kind] === "log") return [unchanged, ""];
  if (kind !== progress.step) return [unchanged, `${kind}: the session is at ${progress.step}`];
  const refusal = shapeRefusal(kind, data) || (kind === "survey" ? surveyRefusal(plan.study.survey, data) : "");
  if (refusal) return [unchanged, `${kind}: ${refusal}`];
  if (kind === "training" || kind === "trial") return answer(plan, unchanged, data);
  return [step(plan, { ...unchanged, feedback: null }, data), ""];
}

function step(plan: SessionPlan, at: Progress, data: Data): Progress {
  const { study } = plan;
  if (at.step === "consent") return data.agreed ? { ...at, step: "check" } : ended(at, "consent");
  if (at.step === "check") {
    if (data.mobile) return ended(at, "mobile");
    const [width, height] = study.min_window;
    const check = data as { width: number; height: number; rate: number };
    const fits = check.width >= width && check.height >= height && check.rate >= flow.frames_per_image * study.hertz;
    return fits ? { ...at, step: "calibration" } : at;
  }
  if (at.step === "calibration") {
    const calibration = data as { screen_height: number; px_per_cm: number };
    if (calibration.screen_height / calibration.px_per_cm >= study.min_screen_cm) return { ...at, step: "instructions", tries: 0 };
    const tried = { ...at, tries: at.tries + 1 };
    return tried.tries < flow.calibration_tries ? tried : ended(tried, "screen");
  }
  if (at.step === "instructions") return image(plan, { ...at, step: "training" }, 0);
  return { ...at, step: "completed" };
}

function ended(at: Progress, reason: string): Progress {
  return { ...at, step: "failed", reason, tries: 0 };
}

/** At an image, or at the next step after the last image. */
function image(plan: SessionPlan, at: Progress, index: number): Progress {
  if (at.step === "training" && index >= plan.training.length) return image(plan, { ...at, step: "trial" }, 0);
  if (at.step === "trial" && index >= plan.trials.length) return { ...at, step: plan.study.survey.length ? "survey" : "completed", index: 0, tries: 0 };
  return { ...at, index, tries: 0 };
}

interface Answer {
  key: string;
  pjnd: number;
  points: Point[];
  track: [number, number][];
}

function answer(plan: SessionPlan, at: Progress, data: Data): [Progress, string] {
  const given = data as unknown as Answer;
  const item: Item = (at.step === "training" ? plan.training : plan.trials)[at.index];
  const refusal = answerRefusal(plan.study.clicks, item, given);
  if (refusal) return [at, `${at.step}: ${refusal}`];
  if (at.step === "trial") return [image(plan, { ...at, feedback: null }, at.index + 1), ""];
  const { pjnd_range, points } = item as TrainingItem;
  const { key, width, height } = item;
  const { passed, in_range, matched } = judge(given.pjnd, given.points, pjnd_range, points, width, height);
  const feedback: Feedback = {
    key, passed, in_range, matched: matched.map(pair => pair[0]), pjnd_range, points,
    radius: radius(width, height),
  };
  const tried = { ...at, tries: at.tries + 1, feedback };
  return [passed || tried.tries >= flow.training_tries ? image(plan, tried, at.index + 1) : tried, ""];
}

function answerRefusal(clicks: number, item: Item, { key, pjnd, points, track }: Answer): string {
  if (key !== item.key) return "key: does not belong to the current image";
  if (!item.levels.includes(pjnd)) return "pjnd: is not one of the levels of this image";
  if (points.length !== clicks) return `points: must be exactly ${clicks}`;
  if (!points.every(([y, x]) => 0 <= y && y <= item.height && 0 <= x && x <= item.width)) return "points: one is outside the image";
  if (!track.some(([, level]) => level > 0)) return "track: the slider was not moved";
  return "";
}

/** Why an event's data are refused; empty if they are not. */
function shapeRefusal(kind: Kind, data: Data): string {
  const number = (name: string, fits: (value: number) => boolean) => {
    const value = data[name];
    return typeof value === "number" && Number.isFinite(value) && fits(value) ? "" : `${name}: is not such a number`;
  };
  const boolean = (name: string) => (typeof data[name] === "boolean" ? "" : `${name}: is neither true nor false`);
  const pairs = (name: string, most: number) => {
    const value = data[name];
    const pair = (each: unknown) => Array.isArray(each) && each.length === 2 && each.every(Number.isFinite);
    return Array.isArray(value) && value.length <= most && value.every(pair) ? "" : `${name}: is not a list of pairs`;
  };
  const size = (value: number) => value >= 0 && value <= limits.css_pixels;
  switch (kind) {
    case "consent":
      return boolean("agreed");
    case "check":
      return boolean("mobile") || number("width", size) || number("height", size)
        || number("rate", value => value >= 0 && value <= limits.hertz);
    case "calibration":
      return number("px_per_cm", value => value > 1 && value < limits.px_per_cm) || number("screen_height", size);
    case "training":
    case "trial":
      return (typeof data.key === "string" && data.key.length <= limits.key_length ? "" : `key: must be a text of at most ${limits.key_length} characters`)
        || number("pjnd", Number.isInteger) || pairs("points", judgement.max_points) || pairs("track", limits.track_positions);
    default:
      return "";
  }
}
