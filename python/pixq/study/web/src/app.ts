/** What every step of the page can use. */

import type { Api } from "./api.ts";
import type { Calibration } from "./storage.ts";
import type { Session } from "./session.ts";
import type { Language } from "./texts.ts";
import type { Watch } from "./watch.ts";
import type { TrialSpec } from "./protocol.ts";
import { nativeSize, physicalSize, type Shown } from "../flicker-jnd/sizes.ts";

export interface App {
  api: Api;
  session: Session;
  language: Language;
  setLanguage: (code: string) => void;
  watch: Watch;
  /** Refreshes of the display per second; 0 before it is measured. */
  rate: number;
  calibration: Calibration | null;
  /** The last answer. */
  answered: { spec: TrialSpec; pjnd: number; points: [number, number][] } | null;
  load: (key: string, signal: AbortSignal) => Promise<Blob>;
}

/** The size of an image of the study on this screen. */
export function sizeOf(app: App, width: number, height: number): Shown {
  const { study } = app.session;
  const dpr = window.devicePixelRatio || 1;
  if (study.scaling === "native" || !app.calibration) return nativeSize(width, height, dpr);
  return physicalSize(study.width_cm, study.height_cm, app.calibration.px_per_cm, dpr);
}

/** Show a step, with the focus on its heading so that screen readers begin there. */
export function show(display: HTMLElement, ...children: (Node | string)[]): void {
  display.replaceChildren(...children);
  window.scrollTo(0, 0);
  const heading = display.querySelector<HTMLElement>("h1");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}
