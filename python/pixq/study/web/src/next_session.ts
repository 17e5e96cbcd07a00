/** Whether the next page of this tab begins another session. A reload by hand does not. */

const NAME = "pixq-study another";

/** Let the next page begin another session. */
export function requestNextSession(): void {
  sessionStorage.setItem(NAME, "1");
}

/** Whether the page before asked for another session; asked once, the request is used up. */
export function takeNextSessionRequest(): boolean {
  try {
    const requested = sessionStorage.getItem(NAME) === "1";
    sessionStorage.removeItem(NAME);
    return requested;
  } catch {
    // A browser that stores nothing.
    return false;
  }
}
