/** Bundles the page into ../page: `node build.mjs`. The bundle loads nothing from anywhere else. */

import { copyFile, mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const to = process.argv[2] ?? join(here, "..", "page");
const shared = {
  bundle: true,
  format: "esm",
  target: ["chrome111", "edge111", "firefox121", "safari17.4"],
  charset: "utf8",
  logLevel: "warning",
};

await rm(to, { recursive: true, force: true });
await mkdir(to, { recursive: true });
await build({ ...shared, minify: true, legalComments: "eof", entryPoints: { page: join(here, "src", "online.ts") }, outdir: to });
// For a page that is opened from the disk: one script inside the file, since modules can't be loaded there.
await build({ ...shared, format: "iife", minify: true, legalComments: "eof", entryPoints: { offline: join(here, "src", "offline", "main.ts") }, outdir: to });
await build({ ...shared, minify: true, entryPoints: [join(here, "page.css")], outdir: to });
// For other experiments: readable, and using their own jsPsych.
await build({
  ...shared,
  external: ["jspsych"],
  entryPoints: [join(here, "flicker-jnd", "index.ts"), join(here, "flicker-jnd", "flicker-jnd.css")],
  entryNames: "flicker-jnd",
  outdir: to,
});
await copyFile(join(here, "index.html"), join(to, "index.html"));
await copyFile(join(here, "..", "..", "http", "assets", "icon.svg"), join(to, "icon.svg"));
