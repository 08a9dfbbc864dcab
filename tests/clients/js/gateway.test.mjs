// The client against a real gateway, which has no speech model, before the stand-in for the site.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, test } from "node:test";

import { Clipwire, Cut, GatewayError } from "../../../clients/js/clipwire.js";

const { url, key, posts, digests } = JSON.parse(process.env.FRONT);
const client = new Clipwire(url, { pauseS: 0.01, tries: 1 });
const operator = new Clipwire(url, { key });
const sha = (bytes) => createHash("sha256").update(bytes).digest("hex");
const bounded = (name, work) => test(name, { timeout: 60_000 }, work);
const all = async (iterable) => {
  const found = [];
  for await (const one of iterable) found.push(one);
  return found;
};

const rejections = [];
process.on("unhandledRejection", (failure) => rejections.push(failure));
after(() => assert.deepEqual(rejections, []));

bounded("it answers", async () => {
  assert.ok((await client.ping()) > 0);
  assert.deepEqual(await client.live(), { status: "ok" });
  assert.equal((await client.ready()).status, "not ready");
  assert.ok((await client.models()).data.length > 0);
});

bounded("a post is downloaded exactly, and again by the links of its parts", async () => {
  const download = client.download(posts.photo3, { mode: "ORIGINAL" });
  assert.ok((await download.head()).title);
  const links = [];
  const found = [];
  for await (const part of download) {
    const bytes = await part.bytes();
    assert.equal(bytes.length, part.length);
    found.push(sha(bytes));
    links.push([part.location, bytes, part.type]);
  }
  assert.deepEqual(found, digests.photo3);
  const [location, bytes, type] = links[0];
  assert.deepEqual(
    Buffer.concat(await all(client.media(location, { start: 1000 }))),
    Buffer.from(bytes.slice(1000)),
  );
  const { etag, ...head } = await client.mediaHead(location);
  assert.deepEqual(head, { type, length: bytes.length });
  assert.ok(etag);
});

bounded("several posts come in one stream, as planned", async () => {
  const wish = { mode: "ORIGINAL", thumbnail: false };
  const plan = await client.plan([posts.video, posts.photo3], wish);
  const names = (await all(client.download([posts.video, posts.photo3], wish))).map((one) => one.name);
  assert.equal(names.length, plan.posts.flatMap((one) => one.parts).length);
  assert.equal(names[0], plan.posts[0].parts[0].name);
});

bounded("a post that is not to be had is a refusal", async () => {
  for (const attempt of [() => client.download(posts.private).head(), () => client.plan(posts.private)]) {
    await assert.rejects(attempt, (failure) => {
      assert.ok(failure instanceof GatewayError && failure.requestId);
      assert.deepEqual([failure.status, failure.code], [400, "VIDEO_PRIVATE"]);
      return true;
    });
  }
  await assert.rejects(all(client.transcribe("hello")), {
    name: "GatewayError",
    code: "INVALID_URL",
    status: 400,
  });
});

bounded("an origin that dies is a cut, never a short file", async () => {
  const reading = async () => {
    for await (const part of client.download(posts.cdn_dies)) await part.bytes();
  };
  await assert.rejects(reading(), (failure) => failure instanceof Cut || failure.code === "UPSTREAM_FAILED");
});

bounded("what the gateway cannot take up is a refusal that says so", async () => {
  const quick = new Clipwire(url, { tries: 0 });
  await assert.rejects(all(quick.transcribe(posts.speech)), {
    name: "GatewayError",
    code: "BUSY",
    status: 503,
  });
});

bounded("captions are told, followed, read, renamed, found and removed", async () => {
  const events = await all(client.transcribe(posts.captions, { source: "captions" }));
  const kinds = events.filter((one) => one.type !== "progress");
  assert.deepEqual([kinds[0].type, kinds[0].source, kinds.at(-1).type], ["info", "captions", "end"]);
  const { id } = kinds[0];
  assert.deepEqual(await all(client.follow(id, { after: 1 })), kinds.slice(2));
  assert.deepEqual(await all(client.follow(id, { after: kinds.length - 1 })), []);
  assert.equal(sha(await client.file(id, "txt")), kinds.at(-1).text_sha256);
  assert.match(await client.file(id, "vtt"), /^WEBVTT\n/);
  assert.match(await client.file(id, "srt"), /^1\n00:00:/);
  assert.equal(JSON.parse(await client.file(id, "json")).id, id);
  assert.equal((await client.transcript(id)).state, "complete");
  assert.equal((await client.rename(id, "The kite")).title, "The kite");
  await assert.rejects(client.cancel(id), { code: "TRANSCRIPT_ENDED", status: 409 });

  const { transcripts, next } = await operator.transcripts({ limit: 5 });
  assert.deepEqual([transcripts.map((one) => [one.id, one.title]), next], [[[id, "The kite"]], null]);
  assert.equal((await operator.search("keeper opens")).hits[0].id, id);
  assert.deepEqual((await operator.search("no such words")).hits, []);
  await assert.rejects(client.search("keeper"), GatewayError);

  await client.delete(id);
  await assert.rejects(client.transcript(id), { code: "NOT_FOUND", status: 404 });
});

bounded("codes are issued, looked at, changed and forgotten", async () => {
  const { codes, seconds } = await operator.issueCodes({ count: 2, seconds: 60 });
  assert.deepEqual([codes.length, seconds], [2, 60]);
  const [{ id }] = codes;
  assert.equal((await operator.codes({ limit: 1 })).codes.length, 1);
  assert.equal((await operator.code(id)).seconds, 60);
  assert.deepEqual(await client.credit(id), { credit_s: 60, held_s: 0, used_s: 0, state: "active" });
  assert.equal((await operator.changeCode(id, { seconds: 90, state: "revoked" })).state, "revoked");
  await operator.deleteCode(id);
  await assert.rejects(client.credit(id), { code: "NOT_FOUND" });
  await assert.rejects(client.issueCodes(), { code: "API_KEY_INVALID", status: 401 });
  await assert.rejects(client.submit(new Blob(["RIFF"]), { code: "AAAAA-AAAAA" }), {
    code: "CODE_UNKNOWN",
    status: 401,
  });
});

bounded("a transcript is begun for later", async () => {
  const begun = await client.begin(posts.captions, { source: "captions", language: "en" });
  assert.deepEqual(begun, { id: begun.id, status: "pending" });
  let state = begun.status;
  for (let n = 0; n < 600 && state !== "complete"; n++) {
    state = (await client.transcript(begun.id)).state;
    assert.notEqual(state, "failed");
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.equal(state, "complete");
  assert.match(await client.file(begun.id), /keeper opens/);
});
