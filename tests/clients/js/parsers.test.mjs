// The readers of both formats, on the shared examples and on made ones, however they are split.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Cut, EventParser, Malformed, MultipartParser } from "../../../clients/js/clipwire.js";
import { B, CLOSING, cat, generator, part, raw } from "./stand_in.mjs";

const WIRE = JSON.parse(readFileSync(new URL("../../vectors/wire.json", import.meta.url), "utf8"));
const decoded = (text) => new Uint8Array(Buffer.from(text, "base64"));
const MULTIPART = WIRE.multipart.map((one) => ({ ...one, body: decoded(one.body) }));
const EVENTS = WIRE.events;

/** What a parser makes of pieces, payloads joined: `[head, payload, ended]` for each part. */
function read(boundary, pieces) {
  const parser = new MultipartParser(boundary);
  const found = [];
  for (const piece of pieces) {
    parser.push(piece);
    for (let event; (event = parser.pull()) !== null;) {
      if (event instanceof Uint8Array) {
        assert.ok(event.length > 0);
        found.at(-1).payload.push(event);
      } else if (event.type === "end" && !("name" in event)) found.at(-1).ended = true;
      else found.push({ head: event, payload: [], ended: false });
    }
  }
  return { parser, parts: found.map((one) => ({ ...one, payload: hex(cat(...one.payload)) })) };
}

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const halves = (body, at) => [body.subarray(0, at), body.subarray(at)];
const span = (told) => {
  if (told === null) return null;
  const [start, end, length] = told.slice("bytes ".length).split(/[-/]/);
  return { start: Number(start), end: Number(end), length: length === "*" ? null : Number(length) };
};
const wanted = (example) =>
  example.parts.map(({ name, media_type, length, link, payload, range }) => ({
    head: { name, type: media_type, length, range: span(range), link },
    payload: Buffer.from(payload, "base64").toString("hex"),
    ended: true,
  }));

for (const example of MULTIPART) {
  test(`${example.name}: every split gives the same parts, and only the whole is whole`, () => {
    const all = wanted(example);
    for (let at = 0; at <= example.body.length; at++) {
      const { parser, parts } = read(example.boundary, halves(example.body, at));
      assert.deepEqual(parts, all);
      parser.finish();
      const cut = new MultipartParser(example.boundary);
      cut.push(example.body.subarray(0, at));
      while (cut.pull() !== null);
      if (at < example.body.length) assert.throws(() => cut.finish(), Cut);
    }
    const bytes = Array.from(example.body, (byte) => Uint8Array.of(byte));
    assert.deepEqual(read(example.boundary, bytes).parts, all);
  });
}

test("made bodies are read exactly, in pieces of any size", () => {
  for (let seed = 1; seed <= 150; seed++) {
    const random = generator(seed);
    const parts = Array.from({ length: random(6) }, (_, n) => {
      const pieces = Array.from(
        { length: random(12) },
        () =>
          [
            raw("\r\n"),
            raw("\r"),
            raw(`\r\n--${B.slice(0, -1)}`),
            raw(`\r\n--${B}x`),
            raw(`--${B}--`),
            random.bytes(40),
          ][random(6)],
      );
      // a delimiter that is followed by a line end is one, unless the length is told
      return { name: `a_${n}.mp4`, payload: cat(...pieces), told: random(2) === 0 };
    });
    const body = cat(
      ...parts.map(({ name, payload, told }, n) =>
        part(name, payload, { first: n === 0, length: told ? payload.length : null }),
      ),
      parts.length ? CLOSING : CLOSING.subarray(2),
    );
    const pieces = [];
    for (let at = 0; at < body.length;) {
      const size = 1 + random(random(2) ? 5 : 400);
      pieces.push(body.subarray(at, at + size));
      at += size;
    }
    const untold = parts.some(({ payload, told }) => !told && Buffer.from(payload).includes(`\r\n--${B}--`));
    if (untold) continue; // it is the end, and the rest is Malformed
    const { parser, parts: found } = read(B, pieces);
    parser.finish();
    assert.deepEqual(
      found.map((one) => [one.head.name, one.payload, one.ended]),
      parts.map((one) => [one.name, hex(one.payload), true]),
      `seed ${seed}`,
    );
  }
});

test("bytes of any kind are parts, a cut, or malformed, and nothing else", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = generator(seed);
    const body = cat(
      part("a.mp4", random.bytes(50), { first: true, length: random(2) ? null : 50 }),
      CLOSING,
    );
    for (let n = random(4); n >= 0; n--) body[random(body.length)] = random(256);
    try {
      read(B, halves(body, random(body.length))).parser.finish();
    } catch (failure) {
      assert.ok(failure instanceof Cut || failure instanceof Malformed, String(failure));
    }
  }
});

const framed = (...lines) =>
  raw(`--${B}\r\n${lines.join("\r\n")}${lines.length ? "\r\n" : ""}\r\nx\r\n--${B}--\r\n`);
const NAMED = 'Content-Disposition: attachment; filename="a.mp4"';
const TYPED = "Content-Type: video/mp4";
for (const [what, body] of Object.entries(WIRE.malformed.bodies)) {
  test(`${what} is malformed`, () => {
    const bytes = decoded(body);
    assert.throws(() => read(WIRE.malformed.boundary, [bytes]), Malformed);
    assert.throws(
      () =>
        read(
          WIRE.malformed.boundary,
          Array.from(bytes, (byte) => Uint8Array.of(byte)),
        ),
      Malformed,
    );
  });
}

test("a slice tells its range", () => {
  for (const [told, length] of [
    ["7", 7],
    ["*", null],
  ]) {
    const head = framed(TYPED, `Content-Range: bytes 0-0/${told}`, NAMED);
    assert.deepEqual(read(B, [head]).parts[0].head.range, { start: 0, end: 0, length });
  }
});

test("a payload is passed on as it comes, but for a delimiter's length", () => {
  const parser = new MultipartParser(B);
  parser.push(part("a.mp4", new Uint8Array(1000), { first: true, length: null }));
  parser.pull();
  assert.ok(parser.pull().length > 1000 - B.length - 8);
});

test("what a parser looks at grows as the body does", (t) => {
  let looked = 0; // bytes that are searched, not the time that takes
  const indexOf = Uint8Array.prototype.indexOf;
  Uint8Array.prototype.indexOf = function (value, from = 0) {
    const at = indexOf.call(this, value, from);
    looked += Math.max(0, (at < 0 ? this.length : at) - from);
    return at;
  };
  t.after(() => delete Uint8Array.prototype.indexOf);
  const search = (size, fill) => {
    looked = 0;
    const pieces = Array.from({ length: size / 100 }, () => raw(fill.repeat(10)));
    read(B, [part("a.mp4", raw(""), { first: true, length: null }), ...pieces]);
    return looked;
  };
  for (const fill of ["\0", "\r", "\r\n--simple_boundary", `\r\n--${B}x`]) {
    const [small, large] = [search(20_000, fill), search(200_000, fill)];
    assert.ok(small > 0 && large < 11 * small, `${JSON.stringify(fill)}: ${small} then ${large}`);
  }
});

// events

const line = (kind) => EVENTS.find((one) => one.event.type === kind).line;
const told = (pieces) => {
  const parser = new EventParser();
  const found = [];
  for (const piece of pieces) {
    parser.push(piece);
    for (let event; (event = parser.pull()) !== null;) found.push(event);
  }
  return { parser, found };
};

test("every split of a transcript gives the same events", () => {
  const transcripts = [[]];
  for (const one of EVENTS) {
    transcripts.at(-1).push(one);
    if (one.event.type === "end" || one.event.type === "error") transcripts.push([]);
  }
  for (const transcript of transcripts.filter((one) => one.some(({ number }) => number !== null))) {
    const body = raw(transcript.map((one) => one.line).join(""));
    const all = transcript.map((one) => one.event);
    for (let at = 0; at <= body.length; at++) {
      const { parser, found } = told(halves(body, at));
      assert.deepEqual(found, all);
      parser.finish();
      if (at < body.length) assert.throws(() => told([body.subarray(0, at)]).parser.finish(), Cut);
    }
    assert.deepEqual(told(Array.from(body, (byte) => Uint8Array.of(byte))).found, all);
  }
});

test("fields that are not known stay, and lines that are no events are malformed", () => {
  assert.equal(told([raw('{"type":"error","code":"A","message":"b","more":1}\n')]).found[0].more, 1);
  for (const bad of WIRE.no_events) {
    assert.throws(() => told([raw(bad + "\n")]), Malformed, bad);
  }
  assert.throws(() => told([Uint8Array.of(34, 0xff, 34, 10)]), Malformed);
  assert.throws(() => told([raw(line("end") + line("end"))]), Malformed);
});

test("lines of any kind are events, a cut, or malformed, however they are split", () => {
  const outcome = (pieces) => {
    try {
      const { parser, found } = told(pieces);
      parser.finish();
      return found;
    } catch (failure) {
      assert.ok(failure instanceof Cut || failure instanceof Malformed, String(failure));
      return failure.name;
    }
  };
  for (let seed = 1; seed <= 300; seed++) {
    const random = generator(seed);
    const body = raw(Array.from({ length: random(6) }, () => EVENTS[random(EVENTS.length)].line).join(""));
    for (let n = random(3); n > 0 && body.length > 0; n--) body[random(body.length)] = random(256);
    const pieces = [];
    for (let at = 0; at < body.length;) {
      const size = 1 + random(60);
      pieces.push(body.subarray(at, at + size));
      at += size;
    }
    assert.deepEqual(outcome(pieces), outcome([body]), `seed ${seed}`);
  }
});

test("the two forms of an event say the same", () => {
  for (const { number, event, line, sse } of EVENTS) {
    const fields = new Map(
      sse
        .trimEnd()
        .split("\n")
        .map((one) => [one.slice(0, one.indexOf(": ")), one.slice(one.indexOf(": ") + 2)]),
    );
    assert.equal(fields.get("data") + "\n", line);
    assert.equal(fields.get("event"), event.type);
    assert.equal(fields.get("id"), number === null ? undefined : String(number));
  }
});

test("a line without an end is given up", () => {
  const parser = new EventParser();
  assert.throws(() => {
    for (let n = 0; n < 100; n++) {
      parser.push(new Uint8Array(65_536).fill(32));
      assert.equal(parser.pull(), null);
    }
  }, Malformed);
});
