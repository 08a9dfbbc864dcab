/** What can be saved: each part of the post, and its words as files. */

const FORMS = [
  ["srt", "Subtitles (SRT)"],
  ["vtt", "Subtitles (VTT)"],
  ["txt", "Text"],
];
const KINDS = { video: "Video", image: "Photo", audio: "Sound" };

/** The links below the player: parts first, then words. */
export class Saves {
  #nav;
  #base;
  #parts = [];
  #words = [];

  /** `base` is where the gateway is. */
  constructor(nav, base) {
    this.#nav = nav;
    this.#base = base;
  }

  /** Nothing to save. */
  clear() {
    this.#parts = [];
    this.#words = [];
    this.#draw();
  }

  /** The parts are told anew. */
  clearParts() {
    this.#parts = [];
    this.#draw();
  }

  /** A part of the post. */
  part({ name, type, location }) {
    const kind = KINDS[type.split("/")[0]] ?? "File";
    const number = kind === "Photo" ? ` ${this.#parts.length + 1}` : "";
    this.#add(location, name, kind + number);
  }

  /** The film of its photos. */
  film({ name, location }) {
    if (!this.#parts.some((one) => one.download === name)) this.#add(location, name, "Film");
  }

  /** The words of a transcript; a file of them waits for what is still to come. */
  words(id, title) {
    const stem = title.replace(/[^\p{L}\p{M}\p{N}]+/gu, " ").trim().slice(0, 60) || id;
    this.#words = FORMS.map(([form, called]) =>
      link(`${this.#base}/transcripts/${encodeURIComponent(id)}.${form}`, `${stem}.${form}`, called),
    );
    this.#draw();
  }

  #add(location, name, called) {
    if (location !== null) this.#parts.push(link(location, name, called));
    this.#draw();
  }

  #draw() {
    const all = [...this.#parts, ...this.#words];
    this.#nav.replaceChildren(...(all.length > 0 ? ["Save: "] : []), ...all);
    this.#nav.hidden = all.length === 0;
  }
}

function link(address, name, called) {
  const save = document.createElement("a");
  save.className = "save";
  save.href = address;
  save.download = name;
  save.textContent = called;
  return save;
}
