/** The page as a server sends it. */

import { platformOf, Server } from "./api.ts";
import { end } from "./end.ts";
import { run } from "./main.ts";

run({ api: new Server(), platform: platformOf(window.location), end });
