// The client against a stand-in that speaks the wire formats, badly where a test asks for it.
import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";

import {
  Clipwire,
  Cut,
  GatewayError,
  Malformed,
  TranscriptFailed,
  Unreachable,
} from "../../../clients/js/clipwire.js";
import {
  B,
  CLOSING,
  PARTS,
  answer,
  body,
  cat,
  clean,
  cut,
  lines,
  part,
  parts,
  raw,
  reset,
  serving,
  silence,
  stream,
} from "./stand_in.mjs";

const WIRE = JSON.parse(readFileSync(new URL("../../vectors/wire.json", import.meta.url), "utf8"));
const POST = "https://www.tiktok.com/@someone/video/7";
const FIRST = raw("first".repeat(1000));
const TWO = [part("a.mp4", FIRST, { first: true }), part("b.mp3", raw("second"), { length: null }), CLOSING];
const QUICK = { pauseS: 0.001 };

const rejections = [];
process.on("unhandledRejection", (failure) => rejections.push(failure));
after(() => assert.deepEqual(rejections, []));

const bounded = (name, work) => test(name, { timeout: 30_000 }, work);
const all = async (iterable) => {
  const found = [];
  for await (const one of iterable) found.push(one);
  return found;
};
const string = (bytes) => Buffer.from(bytes).toString();

// parts

bounded("parts come in order with their bytes", () =>
  serving(parts(TWO), async (url) => {
    const download = new Clipwire(url).download(POST);
    assert.deepEqual(await download.head(), { title: "Grüße", desc: "🎬" });
    const found = [];
    for await (const one of download) found.push([one.name, one.type, one.length, string(await one.bytes())]);
    assert.deepEqual(found, [
      ["a.mp4", "video/mp4", 5000, string(FIRST)],
      ["b.mp3", "video/mp4", null, "second"],
    ]);
  }),
);

bounded("asking for the next part passes over the one before, half read or not at all", () =>
  serving(parts(TWO), async (url) => {
    const download = new Clipwire(url).download(POST);
    const first = (await download.next()).value;
    for await (const chunk of first) {
      assert.ok(chunk.length > 0);
      break;
    }
    const second = (await download.next()).value;
    assert.equal(string(await new Response(second.stream()).arrayBuffer()), "second");
    await assert.rejects(first.bytes(), TypeError);
    assert.equal((await download.next()).done, true);
    assert.deepEqual(
      (await all(new Clipwire(url).download(POST))).map((one) => one.name),
      ["a.mp4", "b.mp3"],
    );
  }),
);

bounded("a stream of a part that nobody reads takes nothing", () =>
  serving(parts(TWO), async (url) => {
    const part = (await new Clipwire(url).download(POST).next()).value;
    part.stream();
    await new Promise((done) => setTimeout(done, 50));
    assert.equal((await part.bytes()).length, 5000);
  }),
);

bounded("a loop over a part that was left goes on there", () =>
  serving(parts(TWO), async (url) => {
    const part = (await new Clipwire(url).download(POST).next()).value;
    let size = 0;
    for await (const chunk of part) {
      size += chunk.length;
      break;
    }
    assert.equal(size + (await part.bytes()).length, 5000);
  }),
);

bounded("the request is as documented", async () => {
  const seen = [];
  const handler = async (request, response) => {
    seen.push([request.method, request.url, request.headers, JSON.parse(await body(request))]);
    await parts(TWO)(request, response);
  };
  await serving(handler, async (url) => {
    const client = new Clipwire(`${url}/below/`, { key: "secret" });
    await all(client.download(POST, { mode: "ORIGINAL", quality: "720p", transcript: true }));
    await all(client.download([POST, new URL(POST)], { mode: "AUDIO_ONLY" }));
  });
  const [[method, path, headers, wish], [, , , several]] = seen;
  assert.deepEqual([method, path, headers["x-api-key"]], ["POST", "/below/download", "secret"]);
  assert.deepEqual(wish, { url: POST, download_content_type: "ORIGINAL", quality: "720p", transcript: true });
  assert.deepEqual(several, { urls: [POST, POST], download_content_type: "AUDIO_ONLY" });
});

bounded("leaving early closes the connection, however it is left", () =>
  serving(parts(TWO.slice(0, 1), silence), async (url, asked, left) => {
    const client = new Clipwire(url);
    for await (const one of client.download(POST)) {
      assert.equal(one.name, "a.mp4");
      break;
    }
    await left[0];
    const download = client.download(POST);
    await download.head();
    await download.return();
    await left[1];
    const part = (await client.download(POST).next()).value;
    const reading = part.stream().getReader();
    await reading.read();
    await reading.cancel();
  }),
);

bounded("who leaves while a part is read has no rest of it fetched", () => {
  const head = part("a.mp4", raw("x"), { first: true, length: 9, link: "/media/t.s/a.mp4" });
  return serving(parts([head], silence), async (url, asked, left) => {
    const download = new Clipwire(url, QUICK).download(POST);
    const reading = (await download.next()).value.bytes();
    await new Promise((done) => setTimeout(done, 50));
    await Promise.all([download.return(), assert.rejects(reading, TypeError)]);
    await left[0];
    assert.equal(asked.length, 1);
  });
});

bounded("a whole answer leaves the connection for the next", () =>
  serving(parts(TWO), async (url, asked) => {
    const client = new Clipwire(url);
    for (let n = 0; n < 10; n++) await all(client.download(POST));
    // Node's fetch takes two in turns where one has just been left
    assert.ok(new Set(asked.map((one) => one.socket.remotePort)).size <= 2);
  }),
);

bounded("who reads slowly slows the gateway", () => {
  let sent = 0;
  const chunk = new Uint8Array(65_536);
  const handler = async (request, response) => {
    response.writeHead(200, PARTS);
    response.write(part("a.mp4", raw(""), { first: true, length: 1 << 30 }));
    const closed = once(response, "close");
    while (!response.destroyed && sent < 1 << 29) {
      sent += chunk.length;
      if (!response.write(chunk))
        await Promise.race([new Promise((done) => response.once("drain", done)), closed]);
    }
  };
  return serving(handler, async (url) => {
    const download = new Clipwire(url).download(POST);
    await download.next();
    // it goes on until every buffer between is full, and there it stays
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((done) => setTimeout(done, 300));
    }
    assert.ok(sent < 1 << 26, `${sent} bytes were taken that nobody asked for`);
    await download.return();
  });
});

bounded("slices and words come between each other", async () => {
  const LINES = { type: "application/x-ndjson" };
  const said = [
    '{"type":"info","id":"3f","source":"speech"}\n',
    '{"type":"error","code":"SPEECH_FAILED","message":"no"}\n',
  ];
  const pieces = [
    part("a.mp4", raw("abc"), { first: true, range: "bytes 0-2/5", link: "/media/t.s/a.mp4" }),
    part("transcript.ndjson", raw(said[0]), LINES),
    part("a.mp4", raw("de"), { range: "bytes 3-4/5" }),
    part("transcript.ndjson", raw(said[1]), LINES),
    CLOSING,
  ];
  await serving(parts(pieces), async (url) => {
    const media = [];
    const events = [];
    for await (const one of new Clipwire(url).download(POST, { transcript: true })) {
      if (one.name === "transcript.ndjson") events.push(...(await all(one.events())));
      else media.push([one.range, string(await one.bytes())]);
    }
    assert.deepEqual(media, [
      [{ start: 0, end: 2, length: 5 }, "abc"],
      [{ start: 3, end: 4, length: 5 }, "de"],
    ]);
    assert.deepEqual(
      events.map((one) => one.type),
      ["info", "error"],
    );
  });
});

// bad endings

for (const ending of [clean, cut, reset]) {
  for (const [what, pieces] of Object.entries({
    nothing: [],
    "half a delimiter": [raw("--simple")],
    "a part short of its length": [part("a.mp4", raw("x"), { first: true, length: 99 })],
    "a part of untold length": [part("a.mp4", raw("x"), { first: true, length: null })],
    "no closing delimiter": [part("a.mp4", raw("x"), { first: true })],
    "a closing delimiter without its line end": [
      part("a.mp4", raw("x"), { first: true }),
      CLOSING.subarray(0, -1),
    ],
  })) {
    bounded(`${what}, then ${ending.name}, is a cut`, () =>
      serving(parts(pieces, ending), async (url) => {
        const reading = async () => {
          for await (const one of new Clipwire(url).download(POST)) await one.bytes();
        };
        // with a reset, even the head may be lost on its way
        await assert.rejects(
          reading(),
          (failure) => failure instanceof Cut || (ending !== clean && failure instanceof Unreachable),
        );
      }),
    );
  }
}

bounded("a cut is told again when asked again, and as an error of the stream", () =>
  serving(parts([part("a.mp4", raw("x"), { first: true, length: 9 })]), async (url) => {
    const client = new Clipwire(url);
    const download = client.download(POST);
    const part = (await download.next()).value;
    await assert.rejects(part.bytes(), Cut);
    await assert.rejects(download.next(), Cut);
    const other = (await client.download(POST).next()).value;
    await assert.rejects(new Response(other.stream()).arrayBuffer(), Cut);
  }),
);

bounded("a gateway that is silent or not there is given up", async () => {
  await serving(parts(TWO.slice(0, 1), silence), async (url) => {
    const reading = all(new Clipwire(url, { stallS: 0.2 }).download(POST));
    await assert.rejects(reading, (failure) => failure instanceof Cut || failure instanceof Unreachable);
  });
  let gone;
  await serving(
    (request) => request.resume(),
    async (url) => {
      gone = url;
      await assert.rejects(new Clipwire(url, { stallS: 0.2 }).ping(), Unreachable);
    },
  );
  await assert.rejects(new Clipwire(gone).ping(), Unreachable);
  await assert.rejects(all(new Clipwire(gone).download(POST)), Unreachable);
  await assert.rejects(all(new Clipwire(gone).transcribe(POST)), Unreachable);
  await assert.rejects(all(new Clipwire(gone).media("/media/t.s/a.mp4")), Unreachable);
});

bounded("an answer in another format is malformed", async () => {
  const meta = { "Content-Meta": PARTS["Content-Meta"] };
  for (const headers of [
    { "Content-Type": "text/html" },
    { "Content-Type": "text/html; boundary=a", ...meta },
    { "Content-Type": "multipart/x-mixed-replace; boundary=a" },
    { "Content-Type": "multipart/x-mixed-replace; boundary=a", "Content-Meta": "!" },
    { "Content-Type": "multipart/x-mixed-replace; boundary=a", "Content-Meta": "e30=" },
    { "Content-Type": "multipart/x-mixed-replace", ...meta },
  ]) {
    await serving(stream(headers, ["hello"]), async (url, asked, left) => {
      await assert.rejects(new Clipwire(url).download(POST).head(), Malformed);
      await left[0];
    });
  }
  await serving(stream({}, ["<html>pong</html>"]), async (url) => {
    const client = new Clipwire(url);
    await assert.rejects(client.ping(), Malformed);
    await assert.rejects(all(client.transcribe(POST)), Malformed);
    await assert.rejects(client.transcript("3f"), Malformed);
  });
});

bounded("an answer far longer than any of its kind is malformed, and let go", async () => {
  const MiB = new Uint8Array(1 << 20).fill(32);
  const long = (count) => stream({ "Content-Type": "application/json" }, Array(count).fill(MiB), silence);
  for (const [count, use] of [
    [17, (client) => client.transcript("3f")],
    [65, (client) => client.file("3f", "json")],
  ]) {
    await serving(long(count), async (url, asked, left) => {
      await assert.rejects(use(new Clipwire(url)), Malformed);
      await left[0];
    });
  }
  const whole = (count) => stream({}, Array(count).fill(MiB));
  await serving(whole(64), async (url) => {
    assert.equal((await new Clipwire(url).file("3f")).length, 64 << 20);
  });
});

bounded("what no header can hold is refused, and not told", async () => {
  for (const secret of ["jskey\nabc", "€uro", "nul\0"]) {
    const hidden = (failure) => failure instanceof TypeError && !failure.message.includes(secret);
    assert.throws(() => new Clipwire("", { key: secret }), hidden);
    const client = new Clipwire("http://127.0.0.1:1", { key: "naïve" });
    await assert.rejects(client.submit(new Blob(["a"]), { code: secret }), hidden);
    await assert.rejects(client.submit(new Blob(["a"]), { code: "c", idempotencyKey: secret }), hidden);
  }
});

// the caller leaves

bounded("a signal ends whatever is under way, with its reason, and leaves no listener", async () => {
  const reason = new Error("enough");
  const handlers = {
    head: (request) => request.resume(),
    body: parts(TWO.slice(0, 1), silence),
    lines: lines(['{"type":"info","id":"3f","source":"speech"}\n'], silence),
    refused: answer({ error: { code: "BUSY", message: "later" } }, 503, { "Retry-After": "30" }),
  };
  const uses = {
    head: (client, signal) => client.transcript("3f", { signal }),
    body: (client, signal) => all(client.download(POST, { signal })),
    lines: (client, signal) => all(client.transcribe(POST, { signal })),
    refused: (client, signal) => client.plan(POST, { signal }),
  };
  for (const [name, use] of Object.entries(uses)) {
    await serving(handlers[name], async (url, asked, left) => {
      const controller = new AbortController();
      const using = use(new Clipwire(url), controller.signal);
      while (asked.length === 0) await new Promise((done) => setTimeout(done, 5));
      setTimeout(() => controller.abort(reason), 50);
      await assert.rejects(using, (failure) => failure === reason, name);
      await left[0];
      assert.equal(getEventListeners(controller.signal, "abort").length, 0);
      await assert.rejects(use(new Clipwire(url), controller.signal), (failure) => failure === reason);
      assert.equal(asked.length, 1);
    });
  }
});

bounded("a signal that is never used has no listeners left", () =>
  serving(parts(TWO), async (url) => {
    const { signal } = new AbortController();
    const client = new Clipwire(url);
    await all(client.download(POST, { signal }));
    for await (const one of client.download(POST, { signal })) if (one) break;
    await client.ping({ signal }).catch(() => {});
    assert.equal(getEventListeners(signal, "abort").length, 0);
  }),
);

bounded("events that had come are not told to who has left", () =>
  serving(lines([EVENTS(0, 1, 2)], silence), async (url) => {
    const controller = new AbortController();
    const events = new Clipwire(url).transcribe(POST, { signal: controller.signal });
    await events.next();
    controller.abort();
    await assert.rejects(events.next(), { name: "AbortError" });
  }),
);

// refusals

const error = (code, message, request_id) => ({ error: { code, message, request_id } });
for (const { status, headers, body, code, message, retry_after_s, request_id } of WIRE.refusals) {
  bounded(`a refusal with ${status} ${body.slice(0, 40)} is read`, () =>
    serving(stream(headers, [body], clean, status), async (url) => {
      const client = new Clipwire(url, { tries: 0 });
      for (const attempt of [
        () => all(client.download(POST)),
        () => all(client.transcribe(POST)),
        () => client.transcript("3f"),
        () => client.delete("3f"),
      ]) {
        const failure = await attempt().then(
          () => null,
          (one) => one,
        );
        assert.ok(failure instanceof GatewayError);
        assert.equal(failure.name, "GatewayError");
        const { status: s, code: c, message: m, requestId: r, retryAfterS } = failure;
        assert.deepEqual([s, c, m, r, retryAfterS], [status, code, message, request_id, retry_after_s]);
      }
    }),
  );
}

bounded("a refusal by somebody else is still one", () =>
  serving(stream({ "X-Request-Id": "proxy" }, ["<html>"], clean, 502), async (url) => {
    await assert.rejects(new Clipwire(url).ping(), { status: 502, code: null, requestId: "proxy" });
  }),
);

bounded("a redirect is not followed with the key", () =>
  serving(stream({ Location: "/elsewhere" }, [], clean, 307), async (url, asked) => {
    await assert.rejects(new Clipwire(url, { key: "secret" }).ping(), { name: "GatewayError", status: 307 });
    assert.equal(asked.length, 1);
  }),
);

const busy = (after) =>
  answer(error("BUSY", "later"), 503, after === undefined ? {} : { "Retry-After": after });
bounded("who is told when to come again comes again, so many times", async () => {
  await serving([busy("0"), busy("0"), parts(TWO)], async (url, asked) => {
    assert.equal((await all(new Clipwire(url).download(POST))).length, 2);
    assert.equal(asked.length, 3);
  });
  await serving(busy("0"), async (url, asked) => {
    await assert.rejects(all(new Clipwire(url, { tries: 2 }).transcribe(POST)), {
      code: "BUSY",
      retryAfterS: 0,
    });
    assert.equal(asked.length, 3);
  });
  for (const after of ["soon", "-1", "99", undefined]) {
    await serving(busy(after), async (url, asked) => {
      await assert.rejects(new Clipwire(url).plan(POST), {
        code: "BUSY",
        retryAfterS: after === "99" ? 99 : null,
      });
      assert.equal(asked.length, 1);
    });
  }
  await serving(busy("0"), async (url, asked) => {
    const once = (async function* () {
      yield raw("RIFF");
    })();
    await assert.rejects(all(new Clipwire(url).transcribe(once)), { code: "BUSY" });
    assert.equal(asked.length, 1); // a stream is gone once it was read
  });
});

// links

const PAYLOAD = Uint8Array.from({ length: 25_600 }, (_, at) => (at * 7) % 251);
const LINK = "/media/t.s/a.mp4";
const linked = (had, { length = PAYLOAD.length, more = [] } = {}) =>
  parts([part("a.mp4", PAYLOAD.subarray(0, had), { first: true, length, link: LINK }), ...more], cut);

/** Answers the range asked for; cut after `most` bytes of it. As an answer with status 200: the whole. */
const ranged =
  ({ data = PAYLOAD, etag = '"a"', most = null, status = 206 } = {}) =>
  (request, response) => {
    assert.equal(request.url, LINK);
    const start = status === 206 ? Number(/^bytes=([0-9]+)-$/.exec(request.headers.range)[1]) : 0;
    const headers = { ETag: etag, "Content-Length": data.length - start };
    if (status === 206) headers["Content-Range"] = `bytes ${start}-${data.length - 1}/${data.length}`;
    return stream(
      headers,
      [data.subarray(start, most === null ? undefined : start + most)],
      most === null ? clean : cut,
      status,
    )(request, response);
  };
const expired = answer(error("LINK_EXPIRED", "over"), 410);

for (const had of [0, 1, 5000, PAYLOAD.length]) {
  for (const status of [200, 206]) {
    for (const length of [PAYLOAD.length, null]) {
      bounded(`a part cut after ${had} of ${length} bytes is gone on with (${status})`, () =>
        serving([linked(had, { length }), ranged({ status })], async (url, asked) => {
          const download = new Clipwire(url, QUICK).download(POST);
          const one = (await download.next()).value;
          assert.equal(one.location, url + LINK);
          assert.deepEqual(await one.bytes(), PAYLOAD);
          assert.equal((await download.next()).done, true);
          const start = Number(asked[1].headers.range.slice("bytes=".length, -1));
          assert.ok(start <= had && start >= had - 8192);
        }),
      );
    }
  }
}

bounded("a rest that is cut too is gone on with, if it is the same file", async () => {
  const handlers = [linked(5000), ranged({ most: 6000 }), busy("0"), ranged()];
  await serving(handlers, async (url, asked) => {
    const one = (await new Clipwire(url, QUICK).download(POST).next()).value;
    assert.deepEqual(await one.bytes(), PAYLOAD);
    assert.deepEqual(
      asked.map((one) => one.headers["if-range"]),
      [undefined, undefined, '"a"', '"a"'],
    );
  });
});

const reversed = PAYLOAD.slice().reverse();
for (const [what, other] of Object.entries({
  "other bytes": ranged({ data: reversed }),
  "other bytes from the start": ranged({ data: reversed, status: 200 }),
  "a longer file": ranged({ data: cat(PAYLOAD, raw("more")) }),
  "a shorter file": ranged({ data: PAYLOAD.subarray(0, -1) }),
  "a file that ends before": ranged({ data: PAYLOAD.subarray(0, 3000), status: 200 }),
  "a link that is over": expired,
  "a rest that is cut": ranged({ most: 10 }),
})) {
  bounded(`${what}: never put behind a cut`, () =>
    serving([linked(5000), other], async (url) => {
      const one = (await new Clipwire(url, QUICK).download(POST, { tries: 1 }).next()).value;
      await assert.rejects(one.bytes(), Cut);
    }),
  );
}

bounded("no part is gone on with where no tries are wanted, or that nobody reads", () =>
  serving(linked(5000), async (url, asked) => {
    const one = (await new Clipwire(url).download(POST, { tries: 0 }).next()).value;
    await assert.rejects(one.bytes(), Cut);
    await assert.rejects(all(new Clipwire(url, QUICK).download(POST)), Cut);
    assert.equal(asked.length, 2);
  }),
);

bounded("parts that were to come after a cut are missed", () =>
  serving([linked(5000), ranged()], async (url) => {
    const download = new Clipwire(url, QUICK).download(POST, { mode: "ORIGINAL" });
    assert.deepEqual(await (await download.next()).value.bytes(), PAYLOAD);
    await assert.rejects(download.next(), Cut);
  }),
);

bounded("a link never leads away from the gateway", async () => {
  for (const [told, own] of [
    [LINK, `/below${LINK}`],
    ["http://elsewhere.example/a", null],
    ["@elsewhere.example/a", null],
    ["//elsewhere.example/a", null],
    ["/\\elsewhere.example/a", null],
    ["/\t/elsewhere.example/a", null],
    [null, null],
  ]) {
    await serving(parts([part("a.mp4", raw("x"), { first: true, link: told }), CLOSING]), async (url) => {
      const one = (await new Clipwire(`${url}/below/`).download(POST).next()).value;
      assert.equal(one.location, own === null ? null : url + own);
    });
  }
  const client = new Clipwire("http://127.0.0.1:1/below", { key: "secret" });
  for (const elsewhere of [
    "http://127.0.0.1:1/below@elsewhere/a",
    "http://elsewhere.example/a",
    "//elsewhere/a",
  ]) {
    assert.throws(() => client.media(elsewhere), TypeError);
    await assert.rejects(client.mediaHead(elsewhere), TypeError);
  }
});

bounded("a file by its link begins where it is asked to, and goes on over cuts", () =>
  serving([ranged({ most: 3000 }), ranged()], async (url, asked) => {
    const chunks = await all(new Clipwire(url, QUICK).media(url + LINK, { start: 10_000 }));
    assert.deepEqual(cat(...chunks), PAYLOAD.slice(10_000));
    assert.deepEqual(
      asked.map((one) => one.headers.range),
      ["bytes=10000-", `bytes=${13_000 - 3000}-`],
    );
  }),
);

// transcripts

function EVENTS(...numbers) {
  const told = WIRE.events;
  const whole = told.slice(0, 1 + told.findIndex((one) => one.event.type === "end"));
  return whole
    .filter((one) => numbers.includes(one.number))
    .map((one) => one.line)
    .join("");
}
const LAST = 20;
const NUMBERS = Array.from({ length: LAST }, (_, n) => n);
const PROGRESS = '{"type":"progress","position":0,"wait_s":null,"bytes":1,"bytes_total":null}\n';

bounded("a transcript that loses its connection goes on after its last event", async () => {
  const handlers = [
    lines([PROGRESS, EVENTS(0, 1), PROGRESS], cut),
    busy("0"),
    lines([PROGRESS], reset),
    lines([EVENTS(2)], clean),
    lines([EVENTS(...NUMBERS.slice(3))]),
  ];
  await serving(handlers, async (url, asked) => {
    const found = await all(
      new Clipwire(url, { ...QUICK, key: "secret" }).transcribe(POST, { language: "en" }),
    );
    const expected = EVENTS(...NUMBERS)
      .trimEnd()
      .split("\n")
      .map((one) => JSON.parse(one));
    assert.deepEqual(
      found.filter((one) => one.type !== "progress"),
      expected,
    );
    assert.deepEqual(
      asked.map((one) => [one.method, one.url]),
      [["POST", "/transcribe"], ...Array(4).fill(["GET", "/transcripts/3f/events"])],
    );
    // what came before a reset may be lost with it
    assert.deepEqual(
      asked.slice(1).map((one) => one.headers["last-event-id"]),
      ["1", "1", "1", "2"],
    );
    assert.equal(asked[4].headers["x-api-key"], "secret");
  });
});

bounded("a transcript that was cut before its first event is known by its header", () =>
  serving(
    [lines([PROGRESS], cut, { "Transcript-Id": "3f" }), lines([EVENTS(...NUMBERS)])],
    async (url, asked) => {
      const found = await all(new Clipwire(url, QUICK).transcribe(POST));
      assert.equal(found.at(-1).type, "end");
      assert.equal(asked[1].headers["last-event-id"], undefined);
    },
  ),
);

bounded("a loss that cannot be made good is a cut", async () => {
  for (const [rest, count] of [
    [answer(error("NOT_FOUND", "gone"), 404), 2],
    [stream({}, [], clean, 204), 4],
    [lines([], cut), 4],
    [busy("99"), 2],
    [busy(undefined), 4],
    [lines([PROGRESS], cut), 4],
    // a gateway that begins again, or stays where it is, is not asked for ever
    [lines([EVENTS(0, 1)], cut), 4],
    [lines([EVENTS(1)], cut), 4],
    [lines([EVENTS(...NUMBERS)]), 4],
  ]) {
    await serving([lines([EVENTS(0, 1)], cut), rest], async (url, asked) => {
      await assert.rejects(all(new Clipwire(url, QUICK).transcribe(POST)), Cut);
      assert.equal(asked.length, count);
    });
  }
});

bounded("a transcript that fails says so, after what is right", () =>
  serving(
    lines([EVENTS(0, 1) + '{"type":"error","code":"SPEECH_FAILED","message":"no"}\n'], clean, {
      "X-Request-Id": "r",
    }),
    async (url, asked) => {
      const found = [];
      const reading = async () => {
        for await (const event of new Clipwire(url).transcribe(POST)) found.push(event.type);
      };
      await assert.rejects(reading(), (failure) => {
        assert.ok(failure instanceof TranscriptFailed && failure instanceof GatewayError);
        assert.deepEqual(
          [failure.code, failure.message, failure.status, failure.requestId],
          ["SPEECH_FAILED", "no", null, "r"],
        );
        return true;
      });
      assert.deepEqual(found, ["info", "segment"]);
      assert.equal(asked.length, 1);
    },
  ),
);

bounded("what comes after the end is not made good of", () =>
  serving(lines([EVENTS(...NUMBERS)], cut), async (url, asked) => {
    assert.equal((await all(new Clipwire(url).transcribe(POST))).at(-1).type, "end");
    assert.equal(asked.length, 1);
  }),
);

bounded("following begins where it is asked to, and has nothing behind the end", async () => {
  await serving([lines([EVENTS(1)], cut), lines([EVENTS(...NUMBERS.slice(2))])], async (url, asked) => {
    assert.equal(
      (await all(new Clipwire(url, QUICK).follow("a/b", { after: 0 }))).length,
      EVENTS(...NUMBERS).split("\n").length - 2,
    );
    assert.deepEqual(
      asked.map((one) => [one.url, one.headers["last-event-id"]]),
      [
        ["/transcripts/a%2Fb/events", "0"],
        ["/transcripts/a%2Fb/events", "1"],
      ],
    );
  });
  await serving(stream({}, [], clean, 204), async (url) => {
    assert.deepEqual(await all(new Clipwire(url).follow("3f", { after: 9 })), []);
  });
  await serving(answer(error("NOT_FOUND", "gone"), 404), async (url) => {
    await assert.rejects(all(new Clipwire(url).follow("3f")), { name: "GatewayError", code: "NOT_FOUND" });
  });
});

bounded("media are sent as they are given", async () => {
  const seen = [];
  const handler = async (request, response) => {
    seen.push([
      request.url,
      request.headers["content-type"],
      request.headers["content-length"],
      string(await body(request)),
    ]);
    await lines([EVENTS(...NUMBERS)])(request, response);
  };
  await serving(handler, async (url) => {
    const client = new Clipwire(url);
    const words = raw("RIFF");
    await all(client.transcribe(words, { language: "en", words: true, prompt: null }));
    await all(client.transcribe(new Blob([words], { type: "audio/wav" })));
    await all(client.transcribe(new Blob([words], { type: "text/plain" })));
    await all(client.transcribe(words.buffer, { type: "video/mp4" }));
    await all(client.transcribe(new Blob([words]).stream(), { type: "audio/ogg" }));
    await all(
      client.transcribe(
        (async function* () {
          yield words;
          yield words;
        })(),
      ),
    );
    assert.throws(() => client.transcribe(7).next, TypeError);
  });
  assert.deepEqual(seen, [
    ["/transcribe?language=en&words=true", "application/octet-stream", "4", "RIFF"],
    ["/transcribe", "audio/wav", "4", "RIFF"],
    ["/transcribe", "application/octet-stream", "4", "RIFF"],
    ["/transcribe", "video/mp4", "4", "RIFF"],
    ["/transcribe", "audio/ogg", undefined, "RIFF"],
    ["/transcribe", "application/octet-stream", undefined, "RIFFRIFF"],
  ]);
});

bounded("a code goes in a header, and the rest into the query", async () => {
  const done = { id: "3f", status: "complete", duration_s: 1, charged_s: 1, text: "hello" };
  await serving([answer(done, 201), answer({ ...done, status: "running" }, 202)], async (url, asked) => {
    const client = new Clipwire(url);
    assert.deepEqual(await client.submit(raw("RIFF"), { code: "7KQ2M", language: "en" }), done);
    const wish = { code: "7KQ2M", wait: false, idempotencyKey: "k", webhook: "https://host/a?b=c" };
    assert.equal((await client.submit(new Blob(["RIFF"]), wish)).status, "running");
    assert.deepEqual(
      asked.map((one) => [one.url, one.headers["x-auth-code"], one.headers["idempotency-key"]]),
      [
        ["/transcripts?language=en", "7KQ2M", undefined],
        ["/transcripts?webhook=https%3A%2F%2Fhost%2Fa%3Fb%3Dc&wait=0", "7KQ2M", "k"],
      ],
    );
  });
});

bounded("a transcript is begun, to be followed later", () =>
  serving(answer({ id: "3f", status: "pending" }, 202), async (url, asked) => {
    const begun = await new Clipwire(url).begin(POST, { language: "en", webhook: "https://host/" });
    assert.deepEqual(begun, { id: "3f", status: "pending" });
    assert.deepEqual([asked[0].method, asked[0].url], ["POST", "/transcribe"]);
  }),
);

// every loop ends, whatever an answer is made of

/** A `fetch` that answers with what is given, and counts. */
const fetching = (make) => {
  const asked = [];
  const fetch = async (...request) => {
    asked.push(request);
    return make();
  };
  return { fetch, asked };
};
const typed = { "Content-Type": "application/x-ndjson" };

bounded("an answer without a body, or of empty chunks, has its end", async () => {
  const empty = () => {
    let left = 1000;
    const pull = (controller) => (left-- > 0 ? controller.enqueue(new Uint8Array(0)) : controller.close());
    return new ReadableStream({ pull });
  };
  for (const body of [() => null, () => "", empty]) {
    for (const [headers, use] of [
      [PARTS, (client) => all(client.download(POST))],
      [typed, (client) => all(client.transcribe(POST))],
      [{ ...typed, "Transcript-Id": "3f" }, (client) => all(client.transcribe(POST))],
    ]) {
      const { fetch, asked } = fetching(() => new Response(body(), { headers }));
      await assert.rejects(use(new Clipwire("http://127.0.0.1:1", { ...QUICK, fetch })), Cut);
      assert.ok(asked.length <= 4);
    }
    const { fetch } = fetching(() => new Response(body(), { headers: { "Content-Length": "0" } }));
    assert.deepEqual(await all(new Clipwire("http://127.0.0.1:1", { fetch }).media(LINK)), []);
    const refusing = fetching(() => new Response(body(), { status: 503 }));
    const client = new Clipwire("http://127.0.0.1:1", { fetch: refusing.fetch });
    await assert.rejects(client.transcript("3f"), GatewayError);
  }
});

bounded("a stream that was read to its end says so again", () =>
  serving(parts(TWO), async (url) => {
    const download = new Clipwire(url).download(POST);
    const part = (await download.next()).value;
    await part.bytes();
    for (let n = 0; n < 3; n++) {
      assert.equal((await part[Symbol.asyncIterator]().next()).done, true);
      assert.equal((await part.bytes()).length, 0);
    }
    await all(download);
    for (let n = 0; n < 3; n++) assert.equal((await download.next()).done, true);
    await download.return();
  }),
);

bounded("tries that are no number are none", async () => {
  const { fetch, asked } = fetching(() => new Response("", { status: 503, headers: { "Retry-After": "0" } }));
  for (const tries of [NaN, null, "many", -1]) {
    await assert.rejects(new Clipwire("http://127.0.0.1:1", { fetch, tries }).transcript("3f"), GatewayError);
  }
  assert.equal(asked.length, 4);
});

// signing

bounded("a signature is the documented one", async () => {
  for (const { secret, body, timestamp_ms, signature } of WIRE.signatures) {
    const client = new Clipwire("http://127.0.0.1:1", { key: "k", secret });
    const headers = { "X-API-Key": "k", "X-Timestamp": String(timestamp_ms), "X-Signature": signature };
    assert.deepEqual(await client.sign(body, timestamp_ms), headers);
    assert.deepEqual(await client.sign(raw(body), timestamp_ms), headers);
  }
  await assert.rejects(new Clipwire("http://127.0.0.1:1").sign("{}"), TypeError);
});

bounded("a signed call sends what was signed", () =>
  serving(answer({ status: "ok" }), async (url, asked) => {
    const client = new Clipwire(url, { key: "k", secret: "topsecret" });
    assert.deepEqual(await client.signedTranscribe(POST), { status: "ok" });
    const { "x-timestamp": at, "x-signature": signature } = asked[0].headers;
    const again = await client.sign(JSON.stringify({ url: POST }), Number(at));
    assert.deepEqual([asked[0].url, signature], ["/api/transcribe", again["X-Signature"]]);
  }),
);
