/**
 * Client of a clipwire gateway: media parts and live transcripts as async iterators.
 *
 * Always: one chunk in hand, so a slow reader slows the gateway; an end of the connection is an end
 * only where the format says so; leaving early closes the connection; no redirect is followed, so
 * the key goes to the given gateway only.
 */

const HEAD_BYTES_MAX = 8192; // a part's head is five short lines; more is an attack
const LINE_BYTES_MAX = 1 << 20; // a segment with its words is some kilobytes
const JSON_BYTES_MAX = 16 << 20; // a page of hits, or the text of a day
const FILE_BYTES_MAX = 64 << 20; // a transcript with all its words is some megabytes
const REFUSAL_BYTES_MAX = 65_536;
const OVERLAP_BYTES = 4096; // asked for again behind a cut, and compared
const LINES = "application/x-ndjson";
const HEADER = /^[\t\x20-\x7e\x80-\xff]*$/; // `fetch` sends no more, and tells what it refuses
const PATH = /^\/[\w.~%-][^\s\\]*$/; // behind any address it stays there: `//elsewhere` would not
const PASSING = new Set([408, 429, 500, 502, 503, 504]); // refusals that another try may not meet

// Errors, told apart by what the caller can do about them

/** Every failure that this client names. */
export class ClipwireError extends Error {
  get name() {
    return this.constructor.kind;
  }
  static kind = "ClipwireError";
}

/** No connection, or no answer over it. */
export class Unreachable extends ClipwireError {
  static kind = "Unreachable";
}

/** The stream ended before its own end; what came before it is right, but not all. */
export class Cut extends ClipwireError {
  static kind = "Cut";
}

/** The answer is not in the format, or far too long; probably this is not a clipwire gateway. */
export class Malformed extends ClipwireError {
  static kind = "Malformed";
}

/** The gateway said no. What it does not tell is null; `status` is 0 where a browser hides it. */
export class GatewayError extends ClipwireError {
  static kind = "GatewayError";
  constructor(message, { code = null, status = null, requestId = null, retryAfterS = null } = {}) {
    super(message);
    Object.assign(this, { code, status, requestId, retryAfterS });
  }
}

/** The gateway gave up in the middle of a transcript; the segments before are right. */
export class TranscriptFailed extends GatewayError {
  static kind = "TranscriptFailed";
}

// The client

/** A gateway at `url`; an empty one is where the page came from. */
export class Clipwire {
  #url;
  #key;
  #secret;
  #fetch;
  #stallS;
  #patience;

  constructor(url, options = {}) {
    const { key, secret, fetch = globalThis.fetch, stallS = 120 } = options;
    const { tries = 3, pauseS = 0.5, waitSMax = 60 } = options;
    this.#url = String(url).replace(/\/+$/, "");
    this.#key = sendable("the key", key);
    this.#secret = secret;
    this.#fetch = (...request) => fetch(...request); // a browser's own wants no other `this`
    this.#stallS = stallS;
    this.#patience = { tries, pauseS, waitSMax };
  }

  /** The seconds that the gateway takes to answer. */
  async ping({ signal } = {}) {
    const began = performance.now();
    const answer = await this.#ask("POST", "/ping", { signal });
    if ((await answer.text(5)) !== "pong") throw new Malformed("the answer to a ping is not pong");
    return (performance.now() - began) / 1000;
  }

  /** The media of a post, or of several in one stream: parts, as they arrive. */
  download(posts, { mode = "VIDEO_ONLY", signal, tries = this.#patience.tries, ...fields } = {}) {
    const several = Array.isArray(posts);
    const wish = { ...fields, download_content_type: mode };
    if (several) wish.urls = posts.map(String);
    else wish.url = String(posts);
    const open = () => this.#ask("POST", "/download", { ...json(wish), signal, again: true });
    const alone = mode !== "ORIGINAL" && !several && !fields.thumbnail && !fields.transcript;
    const patience = { ...this.#patience, tries };
    const rest = (link, start, length) => this.#resumable(link, { start, length, signal, patience });
    return new Download(open, this.#url, rest, alone);
  }

  /** What a download would send. */
  plan(posts, { mode = "VIDEO_ONLY", signal, ...fields } = {}) {
    const wish = { ...fields, download_content_type: mode };
    if (Array.isArray(posts)) wish.urls = posts.map(String);
    else wish.url = String(posts);
    return this.#json("POST", "/download/plan", { ...json(wish), signal });
  }

  /** The bytes of a part by its `location`, from byte `start` on; a cut is gone on with. */
  media(location, { start = 0, signal } = {}) {
    const link = this.#own(location);
    return this.#resumable(link, { start, length: null, signal, patience: this.#patience })();
  }

  /** What a `location` holds: its type, its length, and its tag, null where they are not told. */
  async mediaHead(location, { signal } = {}) {
    const answer = await this.#ask("HEAD", this.#own(location), { signal, again: true });
    answer.close();
    const length = answer.headers.get("Content-Length");
    return {
      type: answer.headers.get("Content-Type"),
      length: length === null ? null : Number(length),
      etag: answer.headers.get("ETag"),
    };
  }

  /** The words of a post, or of media that are sent, as events while they are recognised. */
  transcribe(source, { signal, type, ...options } = {}) {
    const post = typeof source === "string" || source instanceof URL;
    const sent = post ? json({ ...options, url: String(source) }) : upload(source, type);
    const path = "/transcribe" + (post ? "" : query(options));
    const headers = { ...sent.headers, Accept: LINES };
    const open = () => this.#ask("POST", path, { again: true, ...sent, headers, signal });
    return this.#told(open, { signal });
  }

  /** A post's transcript that needs nobody who waits: only its `id`, to follow. */
  begin(post, { signal, ...options } = {}) {
    const wish = { ...options, url: String(post), wait: false };
    return this.#json("POST", "/transcribe", { ...json(wish), signal, good: [202] });
  }

  /** A transcript that runs or is kept, without its first `after` + 1 events; `progress` does not count. */
  follow(id, { after = -1, signal } = {}) {
    return this.#told(() => this.#events(id, after, signal, true), { id, last: after, signal });
  }

  /** Where a transcript stands. */
  transcript(id, { signal } = {}) {
    return this.#json("GET", `/transcripts/${encodeURIComponent(id)}`, { signal });
  }

  /** A whole transcript as `txt`, `srt`, `vtt` or `json`; waits for its end. */
  async file(id, form = "txt", { signal } = {}) {
    const path = `/transcripts/${encodeURIComponent(id)}.${encodeURIComponent(form)}`;
    const answer = await this.#ask("GET", path, { signal, again: true });
    return answer.text(FILE_BYTES_MAX);
  }

  /** Gives a transcript another title; null takes it away. */
  rename(id, title, { signal } = {}) {
    return this.#change(`/transcripts/${encodeURIComponent(id)}`, { title }, signal);
  }

  /** Ends the work on a transcript, for all who follow it. */
  cancel(id, { signal } = {}) {
    return this.#change(`/transcripts/${encodeURIComponent(id)}`, { state: "cancelled" }, signal);
  }

  /** Removes a transcript. */
  delete(id, { signal } = {}) {
    return this.#gone(`/transcripts/${encodeURIComponent(id)}`, signal);
  }

  /** Transcripts that have ended, newest first, a page at once. */
  transcripts({ signal, limit, after } = {}) {
    return this.#json("GET", "/transcripts" + query({ limit, after }), { signal });
  }

  /** The segments that have all terms of `q`, a page at once. */
  search(q, { signal, limit, after } = {}) {
    return this.#json("GET", "/transcripts" + query({ q, limit, after }), { signal });
  }

  /** The transcript of an upload, for a code; with `wait: false` it is only begun. */
  async submit(source, { code, wait = true, idempotencyKey, signal, type, ...options }) {
    const sent = upload(source, type);
    const path = "/transcripts" + query({ ...options, wait: wait ? undefined : 0 });
    const headers = { ...sent.headers, "X-Auth-Code": sendable("the code", code) };
    if (idempotencyKey !== undefined)
      headers["Idempotency-Key"] = sendable("the idempotency key", idempotencyKey);
    return this.#json("POST", path, { ...sent, headers, signal, good: [200, 201, 202] });
  }

  /** Issues codes, whose letters are told here only. */
  issueCodes({ signal, ...wish } = {}) {
    return this.#json("POST", "/codes", { ...json(wish), signal, again: false, good: [201] });
  }

  /** The codes, newest first, a page at once. */
  codes({ signal, limit, after } = {}) {
    return this.#json("GET", "/codes" + query({ limit, after }), { signal });
  }

  /** One code. */
  code(id, { signal } = {}) {
    return this.#json("GET", `/codes/${encodeURIComponent(id)}`, { signal });
  }

  /** What a code is worth now; needs no key. */
  credit(id, { signal } = {}) {
    return this.#json("GET", `/codes/${encodeURIComponent(id)}/credit`, { signal });
  }

  /** Changes `seconds`, `expires_at` or `state` of a code. */
  changeCode(id, { signal, ...change }) {
    return this.#change(`/codes/${encodeURIComponent(id)}`, change, signal);
  }

  /** Forgets a code. */
  deleteCode(id, { signal } = {}) {
    return this.#gone(`/codes/${encodeURIComponent(id)}`, signal);
  }

  /** The names of the speech model. */
  models({ signal } = {}) {
    return this.#json("GET", "/v1/models", { signal });
  }

  /** Whether the process answers. */
  live({ signal } = {}) {
    return this.#json("GET", "/live", { signal, again: false });
  }

  /** Whether a transcript would be taken up now, and why not. */
  ready({ signal } = {}) {
    return this.#json("GET", "/ready", { signal, again: false, good: [200, 503] });
  }

  /** The headers that sign a call of TTTranscribe's API with this body. */
  async sign(body, timestamp = Date.now()) {
    if (!this.#key || !this.#secret) throw new TypeError("signing needs a key and a secret");
    const crypto = globalThis.crypto ?? (await import("node:crypto")).webcrypto; // Node 18 has no global one
    if (!crypto.subtle) throw new TypeError("there is no WebCrypto here: a page needs https for it");
    const hash = { name: "HMAC", hash: "SHA-256" };
    const raw = (text) => new TextEncoder().encode(text);
    const key = await crypto.subtle.importKey("raw", raw(this.#secret), hash, false, ["sign"]);
    const sent = typeof body === "string" ? raw(body) : body;
    // these words are fixed, wherever the server is mounted
    const said = joined([raw("POST\n/api/transcribe\n"), sent, raw(`\n${timestamp}`)]);
    const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, said));
    const hex = Array.from(signature, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return { "X-API-Key": this.#key, "X-Timestamp": String(timestamp), "X-Signature": hex };
  }

  /** A transcript by TTTranscribe's API, signed; the answer comes when all is known. */
  async signedTranscribe(post, { signal } = {}) {
    const sent = json({ url: String(post) });
    const headers = { ...sent.headers, ...(await this.sign(sent.body)) };
    return this.#json("POST", "/api/transcribe", {
      ...sent,
      headers,
      signal,
      answerS: Infinity,
      again: false,
    });
  }

  // events, over as many connections as it takes

  /**
   * Ends: each connection brings an event that was not there before, for only then `tried` begins
   * again, or is one of the tries that are counted.
   */
  async *#told(open, { id = null, last = -1, signal }) {
    let begun = false;
    let spoken = -1; // the last segment's id
    for (let tried = 0, again = false; ; again = true) {
      try {
        const answer = await open();
        try {
          if (answer.status === 204) {
            if (begun) throw new Cut("the transcript has no end");
            return; // there was nothing to come after the last one
          }
          begun = true;
          id ??= answer.headers.get("Transcript-Id");
          for await (const event of events(answer)) {
            if (again && (event.type === "info" ? last >= 0 : event.id <= spoken)) {
              throw new Cut("the gateway does not go on after the last event");
            }
            if (event.type === "info") id = event.id;
            if (event.type === "segment") spoken = event.id;
            if (event.type !== "progress") {
              last += 1;
              tried = 0; // it goes on: the next loss is the first again
            }
            yield event;
          }
          return;
        } finally {
          answer.close();
        }
      } catch (failure) {
        if (!begun || id === null) throw failure;
        await recovered(failure, tried++, this.#patience, signal);
      }
      open = () => this.#events(id, last, signal, false);
    }
  }

  #events(id, last, signal, again) {
    const path = `/transcripts/${encodeURIComponent(id)}/events`;
    const headers = { Accept: LINES };
    if (last >= 0) headers["Last-Event-ID"] = String(last);
    return this.#ask("GET", path, { headers, signal, good: [200, 204], again });
  }

  // a file by its link, over as many connections as it takes

  /** A function from the first chunks of a file to all of them. */
  #resumable(link, { start, length, signal, patience }) {
    const got = new Received(start, length);
    const rest = (resumed) => this.#rest(link, got, signal, resumed);
    return async function* (first = rest(false)) {
      for (let tried = 0, chunks = first; ; tried++, chunks = rest(true)) {
        try {
          for await (const chunk of chunks) {
            got.add(chunk);
            yield chunk;
          }
          return;
        } catch (failure) {
          if (tried === 0 && !(failure instanceof Cut)) throw failure;
          await recovered(failure, tried, patience, signal);
        }
      }
    };
  }

  /** The bytes after those that were got, once the last of these were seen again. */
  async *#rest(link, got, signal, resumed) {
    const from = got.end - got.tail.length;
    const headers = from > 0 || resumed ? { Range: `bytes=${from}-` } : {};
    if (got.etag !== null && headers.Range) headers["If-Range"] = got.etag;
    const answer = await this.#ask("GET", link, { headers, signal, good: [200, 206], again: !resumed });
    try {
      const { at, length } = place(answer);
      const etag = strong(answer.headers.get("ETag"));
      const known = got.length ?? length;
      if (at > from || differ(length, known) || differ(etag, got.etag)) throw changed();
      got.etag ??= etag;
      got.length = known;
      yield* fresh(answer, at, got);
      if (known !== null && got.end !== known) throw new Cut("the rest of the file ended early");
    } finally {
      answer.close();
    }
  }

  /** The address of one of this gateway's paths; the key goes nowhere else. */
  #own(location) {
    const link = String(location);
    const path = this.#url !== "" && link.startsWith(this.#url + "/") ? link.slice(this.#url.length) : link;
    if (!PATH.test(path)) throw new TypeError("the location is not one of this gateway");
    return path;
  }

  // requests

  async #json(method, path, asked) {
    const answer = await this.#ask(method, path, { again: true, ...asked });
    const text = await answer.text(JSON_BYTES_MAX);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new Malformed("the answer is not JSON", { cause });
    }
  }

  #change(path, change, signal) {
    return this.#json("PATCH", path, { ...json(change), signal });
  }

  async #gone(path, signal) {
    (await this.#ask("DELETE", path, { signal, good: [204], again: true })).close();
  }

  /** An answer that is not a refusal. `again`: the request may be sent once more when the gateway says when. */
  async #ask(method, path, { headers, body, signal, good = [200], answerS = this.#stallS, again = false }) {
    const init = { method, body, headers: { ...headers }, redirect: "manual", cache: "no-store" };
    if (this.#key) init.headers["X-API-Key"] ??= this.#key;
    if (streams(body)) init.duplex = "half";
    for (let tried = 0; ; tried++) {
      const line = new Line(signal, this.#stallS);
      try {
        const asking = () => this.#fetch(this.#url + path, { ...init, signal: line.signal });
        const answer = new Answer(await line.wait(asking, Unreachable, answerS), line);
        if (good.includes(answer.status)) return answer;
        throw refusal(answer, await answer.start(REFUSAL_BYTES_MAX));
      } catch (failure) {
        line.close();
        const { tries, waitSMax } = this.#patience;
        const passing = again && failure instanceof GatewayError && PASSING.has(failure.status);
        const waitS = passing ? failure.retryAfterS : null;
        if (waitS === null || waitS > waitSMax || !(tried < tries)) throw failure;
        await pause(waitS, signal);
      }
    }
  }
}

// A download

/** The parts of a download, in order; asking for the next one passes over what is left of the one before. */
export class Download {
  #open;
  #opened = null;
  #parts;

  constructor(open, url, rest, alone) {
    this.#open = async () => {
      const answer = await open();
      try {
        const parser = new MultipartParser(boundary(answer.headers.get("Content-Type") ?? ""));
        return { answer, parser, meta: meta(answer.headers.get("Content-Meta") ?? "") };
      } catch (failure) {
        answer.close();
        throw failure;
      }
    };
    this.#parts = this.#run(url, rest, alone);
  }

  /** The post's `title` and `desc`; the download begins with this, or with its first part. */
  async head() {
    return (await this.#answer()).meta;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  next() {
    return this.#parts.next();
  }

  /** Leaves the download, whatever has come of it. */
  async return() {
    this.#opened?.then(
      ({ answer }) => answer.close(),
      () => {},
    );
    return this.#parts.return();
  }

  #answer() {
    return (this.#opened ??= this.#open());
  }

  async *#run(url, rest, alone) {
    const { answer, parser } = await this.#answer();
    const body = new Body(answer, parser);
    let part = null;
    try {
      for (;;) {
        if (part !== null) {
          if (alone && part._resumed) return; // the stream was cut, and nothing is missing
          await part._pass();
        }
        const head = await body.next();
        if (head === null) return;
        part = new Part(head, body, url, rest);
        yield part;
      }
    } finally {
      answer.close();
      part?._leave();
    }
  }
}

/** One file of a post, or one slice of it: read once, in its turn. */
export class Part {
  #body;
  #chunks;
  #ended = false;
  #passed = false;
  #broken = null;
  _resumed = false;

  constructor({ name, type, length, range, link }, body, url, rest) {
    this.name = name; // as sent: not safe as a path
    this.type = type;
    this.length = length;
    this.range = range;
    // only a path of this gateway: a link to elsewhere would get our key
    const own = link !== null && PATH.test(link) ? link : null;
    this.location = own === null ? null : url + own;
    this.#body = body;
    // a slice is not the file behind its link
    this.#chunks = own === null || range !== null ? this.#read() : this.#whole(rest(own, 0, length));
  }

  /** Its bytes; one chunk in hand. */
  [Symbol.asyncIterator]() {
    return {
      next: async () => {
        if (this.#passed) throw new TypeError("the download is past this part; read each part in its turn");
        return this.#chunks.next();
      },
      // who leaves the loop may begin another, which goes on there
      return: async () => ({ done: true, value: undefined }),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** Its bytes as a stream that reads only when it is read. */
  stream() {
    const chunks = this[Symbol.asyncIterator]();
    const pull = async (controller) => {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    };
    return new ReadableStream({ pull }, { highWaterMark: 0 });
  }

  /** All its bytes at once. */
  async bytes() {
    const chunks = [];
    for await (const chunk of this) chunks.push(chunk);
    return joined(chunks);
  }

  /** The events of a part of words, an `error` among them; the next such part goes on. */
  async *events() {
    if (this.type !== LINES) throw new TypeError(`${this.name} is ${this.type}, not words`);
    const parser = new EventParser();
    for await (const chunk of this) {
      parser.push(chunk);
      for (let event; (event = parser.pull()) !== null;) yield event;
    }
    if (parser.held > 0) throw new Malformed("a part of words ends within a line");
  }

  async *#whole(resume) {
    yield* resume(this.#read());
    this._resumed = !this.#ended;
  }

  async *#read() {
    for (;;) {
      let event;
      try {
        event = await this.#body.next();
      } catch (failure) {
        this.#broken = failure;
        // who has left wants no rest of it
        throw this.#passed ? new TypeError("the download is past this part") : failure;
      }
      if (event === PART_END || event === null) break;
      yield event;
    }
    this.#ended = true;
  }

  async _pass() {
    this.#passed = true;
    await this.#chunks.return();
    if (this.#broken !== null) throw this.#broken;
    while (!this.#ended) {
      const event = await this.#body.next();
      this.#ended = event === PART_END || event === null;
    }
  }

  _leave() {
    this.#passed = true;
    this.#chunks.return().catch(() => {});
  }
}

// Bytes to parts, and bytes to events

const PART_END = Object.freeze({ type: "end" });

/**
 * A `multipart/x-mixed-replace` body: push bytes, then pull heads, payloads and ends until null.
 *
 * Always: the same bytes give the same parts however they are split; a payload is never held back
 * beyond a delimiter's length; only a body with its closing delimiter is whole.
 */
export class MultipartParser {
  #delimiter;
  #opening;
  #closing;
  // the first delimiter has no line end before it: with one, it is like all the others
  #buffer = Uint8Array.of(13, 10);
  #at = 0;
  #left = 0; // payload bytes to come, of a part that told its length
  #step = this.#begin;
  whole = false;

  constructor(boundary) {
    const raw = (text) => new TextEncoder().encode(text);
    this.#delimiter = raw(`\r\n--${boundary}`);
    this.#opening = raw(`\r\n--${boundary}\r\n`);
    this.#closing = raw(`\r\n--${boundary}--\r\n`);
  }

  /** Takes the next bytes of the body. */
  push(data) {
    this.#buffer = this.#at < this.#buffer.length ? joined([this.#buffer.subarray(this.#at), data]) : data;
    this.#at = 0;
  }

  /** The next event, or null when more bytes are needed. Throws Malformed. */
  pull() {
    return this.#step();
  }

  /** The body has ended. Throws Cut unless it is whole. */
  finish() {
    if (!this.whole) throw new Cut("the answer ended before its closing delimiter");
  }

  // the steps, in the order of a body

  #begin() {
    return this.#passedDelimiter() ? this.#step() : null;
  }

  #head() {
    // the line end of the delimiter is still there, so that a head without lines ends as others do
    const end = find(this.#buffer, HEAD_END, this.#at, this.#at + HEAD_BYTES_MAX);
    if (end < 0) {
      if (this.#buffer.length - this.#at < HEAD_BYTES_MAX) return null;
      throw new Malformed("the head of a part is too long");
    }
    const found = headOf(this.#buffer.subarray(this.#at + 2, Math.max(end, this.#at + 2)));
    this.#at = end + 4;
    this.#left = found.length ?? 0;
    this.#step = found.length === null ? this.#searched : this.#counted;
    return found;
  }

  #counted() {
    if (this.#left === 0) return (this.#step = this.#end).call(this);
    const data = this.#buffer.subarray(this.#at, this.#at + this.#left);
    this.#at += data.length;
    this.#left -= data.length;
    return data.length > 0 ? data : null;
  }

  #searched() {
    const [end, found] = this.#delimiterAt(this.#at);
    if (found && end === this.#at) return (this.#step = this.#end).call(this);
    const data = this.#buffer.subarray(this.#at, end);
    this.#at = end;
    return data.length > 0 ? data : null;
  }

  #end() {
    return this.#passedDelimiter() ? PART_END : null;
  }

  #after() {
    if (this.#at < this.#buffer.length) throw new Malformed("there are bytes after the closing delimiter");
    return null;
  }

  // their helpers

  /** Where the payload ends, and true; or how far it surely goes, and false. */
  #delimiterAt(start) {
    for (let at; (at = find(this.#buffer, this.#delimiter, start)) >= 0; start = at + 1) {
      const [first, second] = this.#buffer.subarray(at + this.#delimiter.length);
      if ((first === 13 && second === 10) || (first === 45 && second === 45)) return [at, true];
      if (first === undefined || (second === undefined && (first === 13 || first === 45))) return [at, false];
    }
    return [Math.max(this.#at, this.#buffer.length - this.#delimiter.length + 1), false];
  }

  /** Steps over the delimiter that must be here; false while it is not all there. */
  #passedDelimiter() {
    const here = this.#buffer.subarray(this.#at, this.#at + this.#closing.length);
    if (alike(here, this.#opening) && here.length >= this.#opening.length) {
      this.#at += this.#delimiter.length;
      this.#step = this.#head;
      return true;
    }
    if (alike(here, this.#closing)) {
      if (here.length < this.#closing.length) return false;
      this.#at += here.length;
      this.#step = this.#after;
      this.whole = true;
      return true;
    }
    if (!alike(here, this.#opening)) throw new Malformed("there is no delimiter where one must be");
    return false;
  }
}

/** Lines of events: push bytes, then pull events until null. `held` bytes wait for their line's end. */
export class EventParser {
  #pieces = []; // of a line whose end has not come
  #buffer = new Uint8Array(0);
  held = 0;
  whole = false;

  /** Takes the next bytes of the body. */
  push(data) {
    if (this.#buffer.length > 0) this.#hold(this.#buffer);
    this.#buffer = data;
  }

  /** The next event, or null when more bytes are needed. Throws Malformed. */
  pull() {
    const end = this.#buffer.indexOf(10);
    const length = this.held + (end < 0 ? this.#buffer.length : end);
    if (this.whole && (end >= 0 || length > 0)) throw new Malformed("there are lines after the last one");
    if (length > LINE_BYTES_MAX) throw new Malformed("a line is too long");
    if (end < 0) {
      if (this.#buffer.length > 0) this.#hold(this.#buffer);
      this.#buffer = new Uint8Array(0);
      return null;
    }
    const line = joined([...this.#pieces, this.#buffer.subarray(0, end)]);
    this.#buffer = this.#buffer.subarray(end + 1);
    this.#pieces = [];
    this.held = 0;
    const event = parsed(line);
    this.whole = event.type === "end" || event.type === "error";
    return event;
  }

  /** The body has ended. Throws Cut unless it is whole. */
  finish() {
    if (!this.whole) throw new Cut("the transcript ended before its last line");
  }

  #hold(data) {
    this.#pieces.push(data);
    this.held += data.length;
  }
}

const HEAD_END = Uint8Array.of(13, 10, 13, 10);

/** The boundary that the answer's media type names. */
function boundary(contentType) {
  const [type] = contentType.split(";", 1);
  const named = /;\s*boundary=(?:"([^"]*)"|([^\s;"]+))/i.exec(contentType);
  const found = named?.[1] ?? named?.[2];
  if (type.trim().toLowerCase() !== "multipart/x-mixed-replace" || !found) {
    throw new Malformed(`the answer is ${type.trim() || "of no type"}, not parts`);
  }
  if (!/^[ -~]{1,70}$/.test(found)) throw new Malformed("the boundary is not one");
  return found;
}

/** The value of `Content-Meta`. */
function meta(value) {
  try {
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(value)) throw new TypeError("not Base64");
    const bytes = Uint8Array.from(atob(value), (letter) => letter.charCodeAt(0));
    const { title, desc } = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof title !== "string" || typeof desc !== "string") throw new TypeError("not two strings");
    return { title, desc };
  } catch (cause) {
    throw new Malformed("Content-Meta is not base64 of a title and a desc", { cause });
  }
}

/** A head's lines, without the line ends around them. */
function headOf(data) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch (cause) {
    throw new Malformed("the head of a part is not text", { cause });
  }
  const told = new Map();
  for (const line of text === "" ? [] : text.split("\r\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim().toLowerCase();
    if (colon < 0 || told.has(name)) {
      throw new Malformed("the head of a part has a line that is none, or twice the same");
    }
    told.set(name, line.slice(colon + 1).trim());
  }
  const named = /(?:^|;)\s*filename="([^"]*)"/.exec(told.get("content-disposition") ?? "");
  if (named === null || !told.get("content-type")) {
    throw new Malformed("a part has no file name or no media type");
  }
  const length = told.get("content-length") ?? null;
  if (length !== null && !/^[0-9]{1,15}$/.test(length)) {
    throw new Malformed("the length of a part is no number");
  }
  return {
    name: named[1],
    type: told.get("content-type"),
    length: length === null ? null : Number(length),
    range: range(told.get("content-range") ?? null),
    link: told.get("content-location") ?? null,
  };
}

/** `Content-Range`, with the last byte's place, and the length or null. */
function range(value) {
  if (value === null) return null;
  const told = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15}|\*)$/.exec(value);
  if (told === null) throw new Malformed("the range of a part is none");
  return { start: Number(told[1]), end: Number(told[2]), length: told[3] === "*" ? null : Number(told[3]) };
}

const TOLD = {
  info: { id: "string", source: "string" },
  segment: { id: "number", start: "number", end: "number", text: "string" },
  end: { segments: "number", text_sha256: "string", speech: "string" },
  error: { code: "string", message: "string" },
  progress: { position: "number", bytes: "number" },
};

/** A line as an event; fields that this client does not know stay. */
function parsed(line) {
  let event;
  try {
    event = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
  } catch (cause) {
    throw new Malformed("a line is no event", { cause });
  }
  const fields = Object.hasOwn(TOLD, event?.type ?? "") ? Object.entries(TOLD[event.type]) : null;
  if (!fields?.every(([name, type]) => typeof event[name] === type))
    throw new Malformed("a line is no event");
  return event;
}

/** The events of an answer; an `error` is thrown. */
async function* events(answer) {
  const type = (answer.headers.get("Content-Type") ?? "").split(";", 1)[0].trim();
  if (type !== LINES) throw new Malformed(`the answer is ${type || "of no type"}, not lines of events`);
  const body = new Body(answer, new EventParser());
  for (let event; (event = await body.next()) !== null;) {
    if (event.type === "error") {
      throw new TranscriptFailed(event.message, {
        code: event.code,
        requestId: answer.headers.get("X-Request-Id"),
      });
    }
    yield event;
  }
}

// Connections

/** One request: it ends by its caller's signal, by the gateway's silence, or by `close`. */
class Line {
  #controller = new AbortController();
  #caller;
  #stallS;
  #silent = false;
  #leave = () => this.#controller.abort(this.#caller.reason);

  constructor(caller, stallS) {
    caller?.throwIfAborted();
    this.#caller = caller;
    this.#stallS = stallS;
    caller?.addEventListener("abort", this.#leave);
  }

  get signal() {
    return this.#controller.signal;
  }

  /** What the gateway sends next; `Lost` where it is silent for so many seconds, or the connection breaks. */
  async wait(work, Lost, seconds = this.#stallS) {
    this.check();
    const over = () => {
      this.#silent = true;
      this.#controller.abort();
    };
    // the longest that timers know
    const timer = seconds < 2 ** 31 / 1000 ? setTimeout(over, seconds * 1000) : undefined;
    try {
      return await work();
    } catch (cause) {
      if (this.#caller?.aborted) throw this.#caller.reason;
      const why = this.#silent
        ? `silent for ${seconds} s`
        : (cause?.cause?.message ?? cause?.message ?? cause);
      throw new Lost(`the connection is lost: ${why}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Throws where the caller has left. */
  check() {
    this.#caller?.throwIfAborted();
  }

  /** Nothing more is wanted of the gateway. */
  close() {
    this.done();
    this.#controller.abort();
  }

  /** Nothing more comes. */
  done() {
    this.#caller?.removeEventListener("abort", this.#leave);
  }
}

/** An answer whose head is here. */
class Answer {
  #reader;
  #line;
  #ended = false;

  constructor(response, line) {
    this.status = response.status;
    this.headers = response.headers;
    this.#reader = response.body?.getReader() ?? null;
    this.#line = line;
  }

  /** The next chunk, or null at the end of the connection. */
  async read() {
    if (this.#reader === null || this.#ended) return this.#over();
    const { done, value } = await this.#line.wait(() => this.#reader.read(), Cut);
    return done ? this.#over() : value;
  }

  /** Throws where the caller has left. */
  check() {
    this.#line.check();
  }

  #over() {
    this.#ended = true;
    this.#line.done();
    return null;
  }

  /** The whole body as text. Throws Malformed where it is longer than that. */
  async text(bytesMax) {
    const chunks = [];
    await this.#take(chunks, bytesMax + 1);
    const body = joined(chunks);
    if (body.length > bytesMax) throw new Malformed("the answer is too long");
    return new TextDecoder().decode(body);
  }

  /** The first bytes of a short answer; what is missing of a broken one is not asked for. */
  async start(bytesMax) {
    const chunks = [];
    try {
      await this.#take(chunks, bytesMax);
    } catch (failure) {
      if (!(failure instanceof Cut)) throw failure;
    }
    return new TextDecoder().decode(joined(chunks));
  }

  async #take(chunks, left) {
    try {
      for (let chunk; left > 0 && (chunk = await this.read()) !== null; left -= chunk.length) {
        chunks.push(chunk.subarray(0, left));
      }
    } finally {
      this.close();
    }
  }

  /** Lets go of what has not come. */
  close() {
    if (this.#ended) return;
    this.#over();
    if (this.#reader === null) return;
    this.#line.close();
    this.#reader.cancel().catch(() => {});
  }
}

/** The events of one answer. */
class Body {
  #answer;
  #parser;

  constructor(answer, parser) {
    this.#answer = answer;
    this.#parser = parser;
  }

  /** The next event; null after the last one. Throws Cut or Malformed, and again if asked again. */
  async next() {
    for (;;) {
      this.#answer.check();
      const event = this.#parser.pull();
      if (event !== null) return event;
      let data;
      try {
        data = await this.#answer.read();
      } catch (failure) {
        if (!(failure instanceof Cut && this.#parser.whole)) throw failure;
        data = null; // nothing is missing
      }
      if (data === null) {
        this.#parser.finish();
        return null;
      }
      this.#parser.push(data);
    }
  }
}

/** Waits for another try after a loss; throws it where there is to be none. */
async function recovered(failure, tried, { tries, pauseS, waitSMax }, signal) {
  const refused = failure instanceof GatewayError;
  if (failure instanceof TranscriptFailed) throw failure;
  if (!refused && !(failure instanceof Unreachable) && !(failure instanceof Cut)) throw failure;
  const lost =
    failure instanceof Cut
      ? failure
      : new Cut(`it was cut and could not be gone on with: ${failure.message}`, { cause: failure });
  const askedS = failure.retryAfterS ?? 0;
  if (!(tried < tries) || askedS > waitSMax || (refused && !PASSING.has(failure.status))) throw lost;
  await pause(Math.max(Math.min(pauseS * 2 ** tried, waitSMax), askedS), signal);
}

function pause(seconds, signal) {
  signal?.throwIfAborted();
  return new Promise((done, failed) => {
    const over = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", over);
      if (signal?.aborted) failed(signal.reason);
      else done();
    };
    const timer = setTimeout(over, seconds * 1000);
    signal?.addEventListener("abort", over);
  });
}

// A file that is gone on with

/** What of a file has come from byte `start` on: how much, and the last bytes of it. */
class Received {
  done = 0;
  tail = new Uint8Array(0);
  etag = null; // of the first answer that had one

  constructor(start, length) {
    this.start = start;
    this.length = length; // of the whole file
  }

  get end() {
    return this.start + this.done;
  }

  add(chunk) {
    this.done += chunk.length;
    const last = chunk.length < OVERLAP_BYTES ? joined([this.tail, chunk]) : chunk;
    this.tail = last.slice(-OVERLAP_BYTES);
  }
}

/** What of an answer that begins at byte `at` has not come yet, once what has is seen to be the same. */
async function* fresh(answer, at, { end, tail }) {
  const first = end - tail.length; // from here on there is something to compare with
  for (let chunk; (chunk = await answer.read()) !== null; at += chunk.length) {
    const low = Math.max(at, first);
    const high = Math.min(at + chunk.length, end);
    if (low < high && !alike(chunk.subarray(low - at, high - at), tail.subarray(low - first)))
      throw changed();
    if (at + chunk.length > end) yield chunk.subarray(Math.max(0, end - at));
  }
  if (at < end) throw new Cut("the rest of the file ended early");
}

/** Where in the file an answer begins, and how long the file is. */
function place(answer) {
  if (answer.status === 200) {
    const length = answer.headers.get("Content-Length");
    return { at: 0, length: length === null ? null : Number(length) };
  }
  const told = range(answer.headers.get("Content-Range"));
  if (told === null) throw new Malformed("the answer does not tell which bytes it has");
  return { at: told.start, length: told.length };
}

const changed = () => new Cut("there is another file behind the link now");
const differ = (one, other) => one !== null && other !== null && one !== other;
const strong = (etag) => (etag?.startsWith('"') ? etag : null);

// Requests and refusals

function json(value) {
  return { headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) };
}

/** Media as a request's body. A stream can be sent once only. */
function upload(source, type = source?.type) {
  const media = /^(?:(?:audio|video)\/|application\/(?:ogg|octet-stream)$)/.test(type ?? "");
  const headers = { "Content-Type": media ? type : "application/octet-stream" };
  const sent = { headers, answerS: Infinity }; // the answer may wait for all of it
  if (source instanceof Blob || source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    return { ...sent, body: source, again: true };
  }
  if (streams(source)) return { ...sent, body: source, again: false };
  if (typeof source?.[Symbol.asyncIterator] === "function") {
    return { ...sent, body: stream(source[Symbol.asyncIterator]()), again: false };
  }
  throw new TypeError("media are a Blob, bytes, or a stream of them");
}

function stream(chunks) {
  const pull = async (controller) => {
    const { done, value } = await chunks.next();
    if (done) controller.close();
    else controller.enqueue(value);
  };
  const cancel = async () => {
    await chunks.return?.();
  };
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}

/** What goes into a header. What cannot is not told: it may be a secret. */
function sendable(what, value) {
  if (!HEADER.test(value ?? "")) throw new TypeError(`${what} has letters that no header can hold`);
  return value;
}

const streams = (body) => typeof ReadableStream === "function" && body instanceof ReadableStream;

function query(fields) {
  const told = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  return told.length > 0 ? "?" + new URLSearchParams(told.map(([name, value]) => [name, String(value)])) : "";
}

/** A refusal in any of the shapes a gateway answers in, or from whatever stands before it. */
function refusal(answer, body) {
  let told = null;
  try {
    told = JSON.parse(body);
  } catch {
    // of somebody else
  }
  const all = mapping(told);
  const inner = mapping(all.error); // {"error": {"code", "message", "request_id"}}
  const code = text(inner.code) ?? text(all.code);
  const message =
    text(inner.message) ??
    complaints(all.detail) ??
    (code !== null ? text(all.message) : null) ?? // without a code, `message` is only the status in words
    text(all.detail) ??
    text(all.message) ??
    text(all.error) ??
    (answer.status === 0
      ? "the answer leads elsewhere, which is not followed"
      : "the answer gives no reason");
  const after = answer.headers.get("Retry-After");
  return new GatewayError(message, {
    code,
    status: answer.status,
    requestId:
      text(inner.request_id) ??
      text(all.request_id) ??
      text(mapping(all.metadata).request_id) ??
      answer.headers.get("X-Request-Id"),
    retryAfterS: /^[0-9]{1,9}$/.test(after ?? "") ? Number(after) : null,
  });
}

const mapping = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
const text = (value) => (typeof value === "string" && value !== "" ? value : null);

/** `[{"loc": ["body", "url"], "msg": "..."}]` in words. */
function complaints(detail) {
  if (!Array.isArray(detail) || detail.length === 0) return null;
  const place = (loc) => (Array.isArray(loc) ? loc.join(".") : "request");
  return detail
    .map(mapping)
    .map((one) => `${place(one.loc)}: ${one.msg}`)
    .join("; ");
}

// Bytes

function joined(chunks) {
  if (chunks.length === 1) return chunks[0];
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** Whether both begin alike, as far as the shorter one goes. */
function alike(one, other) {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return false;
  return true;
}

/** Where `wanted`, which begins with a CR and has no other soon, stands whole in `data`; else -1. */
function find(data, wanted, start, end = data.length) {
  const last = Math.min(end, data.length) - wanted.length;
  for (let at = start - 1; (at = data.indexOf(wanted[0], at + 1)) >= 0 && at <= last;) {
    if (alike(data.subarray(at, at + wanted.length), wanted)) return at;
  }
  return -1;
}
