// A stand-in for the gateway: a loopback server that answers with what a test gives it.
import { once } from "node:events";
import { createServer } from "node:http";

export const B = "simple_boundary0123456789abcdef0123456789abcdef";
export const raw = (text) => new TextEncoder().encode(text);
export const cat = (...chunks) => new Uint8Array(Buffer.concat(chunks));
export const CLOSING = raw(`\r\n--${B}--\r\n`);

/** A delimiter, a head and a payload; `length` null is not told. */
export function part(
  name,
  payload,
  { first = false, length = payload.length, link = null, range = null, type = "video/mp4" } = {},
) {
  const lines = [`--${B}`, `Content-Type: ${type}`];
  if (length !== null) lines.push(`Content-Length: ${length}`);
  if (range !== null) lines.push(`Content-Range: ${range}`);
  if (link !== null) lines.push(`Content-Location: ${link}`);
  lines.push(`Content-Disposition: attachment; filename="${name}"`, "", "");
  return cat(raw(first ? "" : "\r\n"), raw(lines.join("\r\n")), payload);
}

/** Endings of an answer: as HTTP says, whatever is missing of it; torn; or never. */
export const clean = (response) => response.end();
export const cut = (response) => response.socket?.destroy();
export const reset = (response) => response.socket?.resetAndDestroy();
export const silence = () => {};

/** Answers with these bytes. */
export const stream =
  (headers, pieces, ending = clean, status = 200) =>
  async (request, response) => {
    request.resume();
    response.writeHead(status, headers);
    for (const piece of pieces)
      if (!response.write(piece)) await Promise.race([once(response, "drain"), once(response, "close")]);
    if (pieces.length === 0) response.flushHeaders();
    // what was written is on its way before the connection goes
    await new Promise((done) => (response.destroyed ? done() : response.write("", done)));
    ending(response);
  };

const META = Buffer.from(JSON.stringify({ title: "Grüße", desc: "🎬" })).toString("base64");
export const PARTS = { "Content-Type": `multipart/x-mixed-replace; boundary=${B}`, "Content-Meta": META };
export const parts = (pieces, ending) => stream(PARTS, pieces, ending);
export const lines = (pieces, ending, more = {}) =>
  stream({ "Content-Type": "application/x-ndjson", ...more }, pieces, ending);
export const answer = (body, status = 200, headers = {}) =>
  stream({ "Content-Type": "application/json", ...headers }, [JSON.stringify(body)], clean, status);

/** Runs `use` with the address of a server that answers request after request with `handlers`, the last again. */
export async function serving(handlers, use) {
  const asked = [];
  const left = [];
  const server = createServer((request, response) => {
    const handler = [handlers].flat()[Math.min(asked.length, [handlers].flat().length - 1)];
    asked.push(request);
    left.push(new Promise((done) => response.on("close", done)));
    Promise.resolve(handler(request, response)).catch((failure) => response.destroy(failure));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    return await use(`http://127.0.0.1:${server.address().port}`, asked, left);
  } finally {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}

export async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Numbers below a bound, always the same for a seed. */
export function generator(seed) {
  let state = seed * 2654435761;
  const random = (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
  random.bytes = (most) => Uint8Array.from({ length: random(most) }, () => random(256));
  return random;
}
