/** Client of a clipwire gateway: media parts and live transcripts as async iterators. */

export type Mode = "VIDEO_ONLY" | "ORIGINAL" | "AUDIO_ONLY";
export type Media =
  Blob | ArrayBuffer | ArrayBufferView | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

export interface Options {
  /** Sent as `X-API-Key`, to this gateway only. With letters that no header can hold, a TypeError. */
  key?: string;
  /** With `key`, what `sign` signs with. Never in a page: who has the page has it. */
  secret?: string;
  /** In place of the global one. */
  fetch?: typeof fetch;
  /** How long the gateway may be silent: before its answer, unless media are sent, and between two chunks. 120. */
  stallS?: number;
  /** How often one thing is tried again, after a loss or a refusal that says when to come again. 3. */
  tries?: number;
  /** The pause before the first try after a loss; then twice as long each time. 0.5. */
  pauseS?: number;
  /** The longest pause; who is asked to wait longer gets the refusal. 60. */
  waitSMax?: number;
}

export interface Call {
  signal?: AbortSignal;
}

/** What to choose of a post: the fields of the API, by their names there. */
export interface Choice {
  quality?: "best" | "worst" | number | `${number}p` | `${number}` | null;
  codec?: "h264" | "h265" | null;
  thumbnail?: boolean;
  render?: "stream" | null;
  slide_s?: number | null;
  fade_s?: number | null;
}

export interface DownloadOptions extends Call, Choice {
  mode?: Mode;
  /** The post's words between slices of its media. */
  transcript?: boolean;
  /** How often the rest of a part that was cut is asked for. */
  tries?: number;
}

export interface SpeechOptions {
  language?: string | null;
  task?: "transcribe" | "translate";
  words?: boolean;
  prompt?: string | null;
  hotwords?: string | null;
  model?: string | null;
}

export interface TranscribeOptions extends Call, SpeechOptions {
  /** Of a post: its captions, speech, or either. */
  source?: "auto" | "captions" | "speech";
  /** Of media that are sent: their type, if a Blob does not tell it. */
  type?: string;
}

export interface SubmitOptions extends Call, SpeechOptions {
  code: string;
  /** False: answers as soon as the media are there and the code is held. */
  wait?: boolean;
  webhook?: string;
  idempotencyKey?: string;
  type?: string;
}

export interface PageOptions extends Call {
  limit?: number;
  /** The `next` of the page before. */
  after?: string;
}

export interface Word {
  start: number;
  end: number;
  word: string;
  probability: number;
}

/** What is being recognised; `duration` is null while it is not known. */
export interface Info {
  type: "info";
  id: string;
  language: string | null;
  language_probability: number | null;
  duration: number | null;
  model: string | null;
  source: "speech" | "captions";
  captions?: "recognised" | "translated" | "creator";
}

/** A stretch of speech; times in seconds from the start of the sound. Captions have no scores. */
export interface Segment {
  type: "segment";
  id: number;
  start: number;
  end: number;
  text: string;
  avg_logprob?: number;
  no_speech_prob?: number;
  compression_ratio?: number;
  words?: Word[];
}

/** The transcript is whole. */
export interface End {
  type: "end";
  segments: number;
  duration: number;
  text_sha256: string;
  elapsed_ms: number;
  speech: "none" | "low" | "ok";
  reasons?: ("silence" | "no_voice" | "little_voice" | "no_words")[];
}

/** Where a waiting transcript stands. */
export interface Progress {
  type: "progress";
  position: number;
  wait_s: number | null;
  bytes: number;
  bytes_total: number | null;
}

/** The transcript stops here; what came before is right. */
export interface Failed {
  type: "error";
  code: string;
  message: string;
}

export type TranscriptEvent = Info | Segment | End | Progress;

export interface Transcript {
  id: string;
  state: "pending" | "running" | "complete" | "failed" | "cancelled";
  title: string | null;
  url: string | null;
  language: string | null;
  duration: number | null;
  source: string | null;
  speech: "none" | "low" | "ok" | null;
  text_sha256: string | null;
  created_at: string;
  ended_at: string | null;
  error: { code: string; message: string } | null;
}

export interface Standing extends Transcript {
  events: number;
  segments: number;
  standing: Omit<Progress, "type"> | null;
}

export interface Hit {
  id: string;
  title: string | null;
  segment: number;
  start: number;
  end: number;
  text: string;
}

export interface Submitted {
  id: string;
  status: "running" | "complete";
  duration_s: number | null;
  charged_s: number | null;
  text: string | null;
}

export interface Credit {
  credit_s: number;
  held_s: number;
  used_s: number;
  state: "active" | "held" | "used" | "revoked" | "expired";
}

export interface Code extends Credit {
  id: string;
  seconds: number;
  created_at: string;
  expires_at: string | null;
}

export interface PlannedPart {
  name: string | null;
  kind: "video" | "image" | "sound";
  media_type: string | null;
  bytes: number | null;
  duration: number | null;
  width: number | null;
  height: number | null;
  codec: string | null;
  watermark: boolean;
  cached: boolean;
}

export interface Plan {
  posts: {
    id: string;
    url: string;
    kind: "video" | "photo";
    author: string;
    title: string;
    duration: number | null;
    links_expire_at: number | null;
    parts: PlannedPart[];
  }[];
}

export interface Signed {
  "X-API-Key": string;
  "X-Timestamp": string;
  "X-Signature": string;
}

/** A gateway at `url`; an empty one is where the page came from. */
export class Clipwire {
  constructor(url: string | URL, options?: Options);
  ping(call?: Call): Promise<number>;
  download(posts: string | URL | readonly (string | URL)[], options?: DownloadOptions): Download;
  plan(
    posts: string | URL | readonly (string | URL)[],
    options?: Call & Choice & { mode?: Mode },
  ): Promise<Plan>;
  media(location: string, options?: Call & { start?: number }): AsyncGenerator<Uint8Array, void, void>;
  mediaHead(
    location: string,
    call?: Call,
  ): Promise<{ type: string | null; length: number | null; etag: string | null }>;
  transcribe(
    source: string | URL | Media,
    options?: TranscribeOptions,
  ): AsyncGenerator<TranscriptEvent, void, void>;
  begin(
    post: string | URL,
    options?: Call & SpeechOptions & { source?: TranscribeOptions["source"]; webhook?: string },
  ): Promise<{ id: string; status: "pending" }>;
  follow(id: string, options?: Call & { after?: number }): AsyncGenerator<TranscriptEvent, void, void>;
  transcript(id: string, call?: Call): Promise<Standing>;
  file(id: string, form?: "txt" | "srt" | "vtt" | "json", call?: Call): Promise<string>;
  rename(id: string, title: string | null, call?: Call): Promise<Standing>;
  cancel(id: string, call?: Call): Promise<Standing>;
  delete(id: string, call?: Call): Promise<void>;
  transcripts(options?: PageOptions): Promise<{ transcripts: Transcript[]; next: string | null }>;
  search(q: string, options?: PageOptions): Promise<{ hits: Hit[]; next: string | null }>;
  submit(source: Media, options: SubmitOptions): Promise<Submitted>;
  issueCodes(
    options?: Call & { count?: number; seconds?: number; expires_at?: string | null },
  ): Promise<{ codes: { id: string; code: string }[]; seconds: number; expires_at: string | null }>;
  codes(options?: PageOptions): Promise<{ codes: Code[]; next: string | null }>;
  code(id: string, call?: Call): Promise<Code>;
  credit(id: string, call?: Call): Promise<Credit>;
  changeCode(
    id: string,
    change: Call & { seconds?: number; expires_at?: string | null; state?: "revoked" | "active" },
  ): Promise<Code>;
  deleteCode(id: string, call?: Call): Promise<void>;
  models(call?: Call): Promise<{ object: "list"; data: { id: string }[] }>;
  live(call?: Call): Promise<{ status: "ok" }>;
  ready(call?: Call): Promise<{ status: string } & Record<string, unknown>>;
  sign(body: string | Uint8Array, timestamp?: number): Promise<Signed>;
  signedTranscribe(post: string | URL, call?: Call): Promise<Record<string, unknown>>;
}

/** The parts of a download, in order; asking for the next one passes over what is left of the one before. */
export class Download implements AsyncIterableIterator<Part> {
  private constructor();
  head(): Promise<{ title: string; desc: string }>;
  next(): Promise<IteratorResult<Part, undefined>>;
  return(): Promise<IteratorResult<Part, undefined>>;
  [Symbol.asyncIterator](): this;
}

/** One file of a post, or one slice of it: read once, in its turn. */
export class Part implements AsyncIterable<Uint8Array> {
  private constructor();
  /** As sent: not safe as a path. */
  readonly name: string;
  readonly type: string;
  /** In bytes, null if not told. */
  readonly length: number | null;
  /** Of a slice: its first and last byte, and the length of the whole, null if not told. */
  readonly range: { start: number; end: number; length: number | null } | null;
  /** The whole file's own address, good for a while; null if not told. */
  readonly location: string | null;
  stream(): ReadableStream<Uint8Array>;
  bytes(): Promise<Uint8Array>;
  /** The events of a part `transcript.ndjson`; the next such part goes on. */
  events(): AsyncGenerator<TranscriptEvent | Failed, void, void>;
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array>;
}

/** A part begins. */
export interface Head {
  name: string;
  type: string;
  length: number | null;
  range: Part["range"];
  link: string | null;
}

/** A `multipart/x-mixed-replace` body: push bytes, then pull heads, payloads and ends until null. */
export class MultipartParser {
  constructor(boundary: string);
  readonly whole: boolean;
  push(data: Uint8Array): void;
  pull(): Head | Uint8Array | { readonly type: "end" } | null;
  finish(): void;
}

/** Lines of events: push bytes, then pull events until null. */
export class EventParser {
  readonly whole: boolean;
  readonly held: number;
  push(data: Uint8Array): void;
  pull(): TranscriptEvent | Failed | null;
  finish(): void;
}

/** Every failure that this client names. */
export class ClipwireError extends Error {}
/** No connection, or no answer over it. */
export class Unreachable extends ClipwireError {}
/** The stream ended before its own end; what came before it is right, but not all. */
export class Cut extends ClipwireError {}
/** The answer is not in the format, or far too long; probably this is not a clipwire gateway. */
export class Malformed extends ClipwireError {}
/** The gateway said no. What it does not tell is null; `status` is 0 where a browser hides it. */
export class GatewayError extends ClipwireError {
  readonly code: string | null;
  readonly status: number | null;
  readonly requestId: string | null;
  readonly retryAfterS: number | null;
}
/** The gateway gave up in the middle of a transcript; the segments before are right. */
export class TranscriptFailed extends GatewayError {
  readonly code: string;
}
