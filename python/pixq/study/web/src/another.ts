const ANOTHER = "pixq-study another";

/** Whether the next page of this tab is to begin another session; a reload by hand is not. */
export const another = {
  ask(): void {
    sessionStorage.setItem(ANOTHER, "1");
  },
  asked(): boolean {
    try {
      const asked = sessionStorage.getItem(ANOTHER) === "1";
      sessionStorage.removeItem(ANOTHER);
      return asked;
    } catch {
      // A browser that keeps nothing.
      return false;
    }
  },
};
