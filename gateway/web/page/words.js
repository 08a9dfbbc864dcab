/** The words of a source: its events, and what they change on the page. */

import { time } from "./figures.js";
import * as languages from "./language.js";

const NOTHING = {
  silence: "There is nothing but silence.",
  no_voice: "There is sound, but no voice.",
  little_voice: "There is hardly any voice.",
  no_words: "There is a voice, but no words were made out.",
};

/** The events of a source, from the first. A credit code pays for one file. */
export async function* events(source, gateway, keys, signal) {
  const asked = { words: true, language: source.language || undefined, signal };
  if (source.kind === "post") return yield* gateway.transcribe(source.address, asked);
  if (source.kind === "file" && !source.id) {
    if (!keys.code) return yield* gateway.transcribe(source.file, asked);
    const begun = await gateway.submit(source.file, { ...asked, code: keys.code, wait: false });
    source.id = begun.id; // the code is for this one: another try follows it
    keys.spend();
  }
  yield* gateway.follow(source.id, { signal });
}

/** What hears the events of one source after the other. */
export class Words {
  #captions;
  #transcript;
  #standing;
  #detected;
  #clock;
  #duration = null;

  constructor({ captions, transcript, standing, detected, clock }) {
    this.#captions = captions;
    this.#transcript = transcript;
    this.#standing = standing;
    this.#detected = detected;
    this.#clock = clock;
  }

  /** Nothing was said. */
  clear() {
    this.#duration = null;
    this.#captions.clear();
    this.#transcript.clear();
    this.#detected.textContent = "";
  }

  /** There is nothing to be heard in it, which is no fault. */
  silent() {
    this.#detected.textContent = "There is no sound to listen to.";
    this.#standing.say("Here it is.");
  }

  /** Takes an event. */
  hear(event) {
    if (event.type === "progress") this.#progress(event);
    if (event.type === "info") this.#info(event);
    if (event.type === "segment") this.#segment(event);
    if (event.type === "end") this.#end(event);
  }

  #progress({ position, wait_s, bytes, bytes_total }) {
    this.#standing.waiting(position, wait_s);
    if (bytes > 0) this.#standing.arrived(bytes, bytes_total);
    if (this.#transcript.length > 0) return;
    this.#standing.say(position > 0 ? "Waiting for a turn…" : "Listening…");
  }

  #info({ language, language_probability: probability, duration }) {
    this.#duration = duration;
    const written = { tag: languages.tag(language), direction: languages.direction(language) };
    this.#captions.language = written;
    this.#transcript.language = written;
    const sure = typeof probability === "number" ? `, ${Math.round(probability * 100)} % sure` : "";
    this.#detected.textContent = language ? `In ${languages.name(language)}${sure}.` : "";
    this.#standing.say("Listening…");
  }

  #segment(event) {
    this.#captions.add(event);
    this.#transcript.add(event);
    const whole = this.#duration ?? this.#clock.duration;
    this.#standing.say(`Heard ${time(event.end)}${whole ? ` of ${time(Math.max(whole, event.end))}` : ""}.`);
  }

  #end({ segments, duration, speech, reasons = [] }) {
    this.#captions.end(segments);
    this.#transcript.end(segments);
    const nothing = NOTHING[reasons[0]] ?? "Nobody speaks here.";
    if (segments === 0) this.#detected.textContent = nothing;
    else if (speech === "low") this.#detected.textContent += " Little is spoken.";
    this.#standing.say(segments > 0 ? `Done: ${time(duration)} heard.` : nothing);
  }
}
