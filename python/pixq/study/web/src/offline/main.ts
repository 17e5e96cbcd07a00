/** The page that is opened from the disk. */

import { el } from "../dom.ts";
import { run } from "../main.ts";
import { choose, Language } from "../texts.ts";
import { OfflineApi, type StudyFile } from "./api.ts";
import { end } from "./end.ts";

const file: StudyFile = JSON.parse(document.getElementById("pixq-study-file")?.textContent ?? "");
const { language } = file;

/** A reload would lose everything: say so, and ask before it happens. */
function warnNotStored(): void {
  const spoken = new Language(choose([...(language ? [language] : []), ...navigator.languages], file.study.languages, file.study.default_language));
  document.querySelector("header")?.after(el("p", { class: "not-stored", role: "status" }, spoken.say("not_stored")));
  window.addEventListener("beforeunload", event => event.preventDefault());
}

const api = new OfflineApi(file, warnNotStored);
run({ api, platform: language ? { language } : {}, end: (app, display) => end(api, app, display) });
