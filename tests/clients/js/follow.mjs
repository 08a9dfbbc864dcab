// Follows a transcript and tells, a line each, what came and how it ended.
// node follow.mjs <url> <id> [<events>]   with a number of events it leaves after them
import { Clipwire } from "../../../clients/js/clipwire.js";

const [url, id, most] = process.argv.slice(2);
const client = new Clipwire(url, { pauseS: 0.05 });
let count = 0;
try {
  for await (const event of client.follow(id)) {
    if (event.type === "progress") continue;
    console.log(event.type);
    if (++count === Number(most)) break;
  }
  console.log("done");
} catch (failure) {
  console.log(`${failure.name} ${failure.code ?? ""}`.trim());
}
