/** Captions on the player: lines over the picture, and a cue a segment for where the browser draws them. */

import * as spoken from "./spoken.js";

const LETTERS_MAX = 56; // of a line: two rows on a phone
const ROOM_S = 0.4; // how long a line stays when no other follows

/** Captions of one post, line by line. */
export class Captions {
  #caption;
  #track;
  #video;
  #lines = []; // {segment, start, end, words}, by time
  #cues = new Map(); // by the number of their segment
  #shown = null;
  #clock;

  constructor(caption, video, track, clock) {
    this.#caption = caption;
    this.#video = video;
    this.#track = track;
    this.#clock = clock;
    this.#track.mode = "hidden";
    clock.addEventListener("tick", () => this.#tell());
    // over a video that fills the screen nothing of the page is seen: the browser draws them there
    document.addEventListener("fullscreenchange", () => this.#drawn(document.fullscreenElement === video));
    video.addEventListener("webkitbeginfullscreen", () => this.#drawn(true));
    video.addEventListener("webkitendfullscreen", () => this.#drawn(false));
    video.textTracks.addEventListener("change", () => this.#chosen());
    caption.addEventListener("click", (event) => {
      const word = event.target.closest(".word");
      if (word) clock.seek(Number(word.dataset.start));
    });
  }

  /** Nothing is said. */
  clear() {
    this.end(0);
    this.#shown = null;
    this.#caption.replaceChildren();
  }

  /** Which language they are in, and which way it is written. */
  set language({ tag, direction }) {
    this.#caption.lang = tag;
    this.#caption.dir = direction;
  }

  /** A segment has come; one with the same number gives way to it. */
  add(segment) {
    const lines = split(spoken.words(segment)).map((words) => ({
      segment: segment.id,
      start: words[0].start,
      end: words.at(-1).end,
      words,
    }));
    this.#drop(segment.id);
    this.#cues.set(segment.id, cue(segment));
    this.#track.addCue(this.#cues.get(segment.id));
    this.#lines = [...this.#lines, ...lines];
    this.#lines.sort((one, other) => one.start - other.start);
    this.#tell();
  }

  /** There are so many segments and no more. */
  end(count) {
    for (const number of [...this.#cues.keys()]) if (number >= count) this.#drop(number);
  }

  #drop(number) {
    if (this.#cues.has(number)) this.#track.removeCue(this.#cues.get(number));
    this.#cues.delete(number);
    this.#lines = this.#lines.filter((line) => line.segment !== number);
  }

  #tell() {
    const time = this.#clock.time;
    const last = this.#lines.findLast((line) => line.start <= time);
    const line = last !== undefined && time < last.end + ROOM_S ? last : null;
    if (line !== this.#shown) {
      this.#shown = line;
      this.#caption.replaceChildren(...(line === null ? [] : [row(line.words)]));
    }
    if (line !== null) spoken.mark(this.#caption, time);
  }

  #drawn(whole) {
    if (this.#track.mode !== "disabled") this.#track.mode = whole ? "showing" : "hidden";
  }

  /** Somebody chose in the player's own menu: ours follows, so that nothing is drawn twice. */
  #chosen() {
    const whole = document.fullscreenElement === this.#video;
    this.#caption.hidden = this.#track.mode === "disabled";
    if (this.#track.mode === "showing" && !whole) this.#track.mode = "hidden";
  }
}

/** Words in lines that fit on a screen; a line rather ends with a sentence. Pure. */
function split(words) {
  const lines = [];
  let letters = Infinity;
  for (const one of words) {
    const before = lines.at(-1)?.at(-1)?.word.trim() ?? "";
    const full = letters + one.word.length > LETTERS_MAX;
    if (full || (/[.!?…。！？؟]$/.test(before) && letters > LETTERS_MAX / 3)) {
      lines.push([]);
      letters = 0;
    }
    lines.at(-1).push(one);
    letters += one.word.length;
  }
  return lines;
}

function row(words) {
  const text = document.createElement("span");
  text.append(...spoken.spaced(words));
  return text;
}

function cue({ start, end, text }) {
  // a cue's text has markup of its own
  const plain = text.trim().replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return new VTTCue(start, Math.max(end, start + 0.01), plain);
}
