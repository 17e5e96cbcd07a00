/** What the page and the server say to each other. */

import type constants from "../../constants.json";

export type Step = keyof typeof constants.steps;

export type Kind = keyof typeof constants.events;

export type Point = [y: number, x: number];

export interface TrialSpec {
  key: string;
  kind: "training" | "trial";
  width: number;
  height: number;
  levels: { level: number; image: string }[];
  reference: string;
  clicks: number;
  preload: string[];
}

/** Feedback on a training answer; it stays until something else is answered. */
export interface Feedback {
  key: string;
  passed: boolean;
  in_range: boolean;
  /** Which of the person's points are right. */
  matched: number[];
  /** The accepted levels, from and to. */
  pjnd_range: [number, number];
  /** Where the change is seen first, in pixels of the image. */
  points: Point[];
  /** How far from these a point may be, down and across. */
  radius: Point;
}

export interface State {
  step: Step;
  /** The number of the next event. */
  next: number;
  index: number;
  of: number;
  trial?: TrialSpec | null;
  feedback?: Feedback | null;
  completion?: { code: string | null; url: string | null } | null;
  /** Why the session ended before everything was answered, or why it gets no code. */
  reason?: string;
  /** Minutes until a place may become free. */
  minutes?: number;
  /** Whether somebody who has completed a session may begin another. */
  more?: boolean;
}

/** A text by language. */
export type LocalTexts = Record<string, string>;

/** A question of the survey, as `[[survey]]` of `study.toml` has it. */
export type Question = { name: string; question: LocalTexts; required: boolean } & (
  | { kind: "choice"; options: { value: string; text: LocalTexts }[] }
  | { kind: "scale"; low: LocalTexts; high: LocalTexts; steps: number }
  | { kind: "text"; max_length: number }
  | { kind: "number"; min?: number; max?: number; unit?: LocalTexts }
);

export interface PublicStudy {
  title: string;
  version: string;
  contact: string;
  languages: string[];
  default_language: string;
  consent: Record<string, string>;
  scaling: "physical" | "native";
  width_cm: number;
  height_cm: number;
  distance_cm: number;
  min_screen_cm: number;
  min_window: [number, number];
  hertz: number;
  clicks: number;
  survey: Question[];
}

export interface StudyEvent {
  number: number;
  kind: Kind;
  /** Milliseconds since the page was opened. */
  at: number;
  /** Time by the participant's clock. */
  wall: string;
  data: Record<string, unknown>;
}

export interface Started {
  token: string;
  study: PublicStudy;
  state: State;
}

export interface Stored {
  stored: number;
  state: State;
}
