/** The language that the person chose in this tab; it outlives a reload. */

const NAME = "pixq-study language";

/** The code of the chosen language, if there is one. */
export function chosenLanguage(): string | null {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null;
  }
}

export function saveChosenLanguage(code: string): void {
  try {
    sessionStorage.setItem(NAME, code);
  } catch {
    // A browser that stores nothing: the choice holds for this page only.
  }
}
