/** The plugin's texts in English; an experiment can replace them with the parameter `texts`. */
export const TEXTS = {
  loading: "Loading the pictures…",
  loading_of: "{loaded} of {needed}",
  waiting: "Loading this level…",
  broken: "A picture could not be loaded. Please check your connection.",
  retry: "Try again",
  level: "Strength of the change",
  level_value: "{level}",
  level_zero: "0, no change",
  find: "Move the slider to the lowest strength at which you see something flicker.",
  move_first: "Move the slider first.",
  not_zero: "At 0 nothing changes; choose a higher strength.",
  found: "I found the critical point",
  click: "Now mark the {clicks} places where you see it flicker most: click them in the picture.",
  click_keys: "With the keyboard: arrow keys move the cross, with Shift in small steps; Enter sets a point, Backspace takes it back.",
  left: "{left} more to mark.",
  all_marked: "All marked.",
  undo: "Take back the last point",
  back: "Change the strength",
  next: "Next picture",
  picture: "Picture. Arrow keys move the cross, Enter sets a point.",
  picture_plain: "The picture, alternating with its changed copy",
  marked: "Point {number} set, {x} % from the left, {y} % from the top.",
  cursor: "{x} % from the left, {y} % from the top",
  undone: "Point {number} taken back.",
};

export type Texts = typeof TEXTS;

/** A text with its {places} filled in. */
export function fill(text: string, values: Record<string, string | number> = {}): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** The text of a key, filled in. */
export type Say = (key: keyof Texts, values?: Record<string, string | number>) => string;
