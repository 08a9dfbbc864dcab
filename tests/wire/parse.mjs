// Reads a multipart body with dicer and prints its parts as one line of JSON each.
// node parse.mjs <folder with node_modules> <boundary> <bytes per write>   < body
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, boundary, step] = process.argv.slice(2);
const Dicer = createRequire(join(folder, "package.json"))("dicer");

const parser = new Dicer({ boundary });
const pending = [];
parser.on("part", (part) => {
  const chunks = [];
  let headers = {};
  part.on("header", (found) => (headers = found));
  part.on("data", (chunk) => chunks.push(chunk));
  pending.push(
    new Promise((done, failed) => {
      part.on("error", failed);
      part.on("end", () => done({ headers, body: Buffer.concat(chunks).toString("base64") }));
    }),
  );
});

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const body = Buffer.concat(chunks);
const finished = new Promise((done, failed) => parser.on("finish", done).on("error", failed));
for (let at = 0; at < body.length; at += Number(step)) parser.write(body.subarray(at, at + Number(step)));
parser.end();
await finished;
for (const part of await Promise.all(pending)) console.log(JSON.stringify(part));
