// Uploads to a real gateway that hears.
import assert from "node:assert/strict";
import { createReadStream, readFileSync } from "node:fs";
import { test } from "node:test";

import { Clipwire } from "../../../clients/js/clipwire.js";

const { url, key, clip } = JSON.parse(process.env.FRONT);
const client = new Clipwire(url);
const all = async (iterable) => {
  const found = [];
  for await (const one of iterable) found.push(one);
  return found.filter((one) => one.type !== "progress");
};
const words = (events) =>
  events
    .filter((one) => one.type === "segment")
    .map((one) => one.text.trim())
    .join(" ");

test("media are heard, as bytes and as a stream", { timeout: 120_000 }, async () => {
  const bytes = await all(
    client.transcribe(readFileSync(clip), { type: "video/mp4", language: "en", words: true }),
  );
  assert.match(words(bytes), /keeper opens the blue door/);
  assert.ok(bytes.find((one) => one.type === "segment").words.length > 0);
  const streamed = await all(
    client.transcribe(createReadStream(clip), { type: "video/mp4", language: "en", words: true }),
  );
  assert.equal(words(streamed), words(bytes));
});

test("a code pays for one transcript, waited for or not", { timeout: 120_000 }, async () => {
  const operator = new Clipwire(url, { key });
  const { codes } = await operator.issueCodes({ count: 2 });
  const file = new Blob([readFileSync(clip)], { type: "video/mp4" });
  const done = await client.submit(file, { code: codes[0].code, language: "en" });
  assert.match(done.text, /keeper opens the blue door/);
  assert.equal((await client.credit(codes[0].id)).state, "used");
  await assert.rejects(client.submit(file, { code: codes[0].code }), { code: "CODE_USED", status: 409 });

  const begun = await client.submit(file, {
    code: codes[1].code,
    wait: false,
    language: "en",
    idempotencyKey: "k",
  });
  assert.equal(begun.text, null);
  const events = await all(client.follow(begun.id));
  assert.equal(words(events), done.text);
  assert.equal((await client.credit(codes[1].id)).state, "used");
  const again = await client.submit(file, { code: codes[1].code, idempotencyKey: "k", language: "en" });
  assert.deepEqual([again.id, again.text], [begun.id, done.text]);
});
