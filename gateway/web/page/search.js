/** Search over kept transcripts: hits with their times, each a link to that second. */

import { many, time } from "./figures.js";

const HITS_MAX = 20; // at once; more are a button away

/** The form and its hits. `asks` gives a page of hits, `opens` opens a fragment. */
export class Search {
  #fields;
  #asks;
  #failed;
  #words = "";
  #next = null;
  #seen = new Set(); // what hits say: the same post may have been heard more than once
  #turn = 0; // of the latest question: answers to others come too late

  constructor({ search, query, hits, found, more }, { asks, opens, failed }) {
    this.#fields = { query, hits, found, more };
    this.#asks = asks;
    this.#failed = failed;
    search.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#words = query.value.trim();
      this.#next = null;
      if (this.#words) this.#ask();
      else query.focus();
    });
    more.addEventListener("click", () => this.#ask());
    hits.addEventListener("click", (event) => {
      const hit = event.target.closest("a.hit");
      if (!hit || event.ctrlKey || event.metaKey || event.shiftKey) return; // those open another tab
      event.preventDefault();
      opens(hit.hash);
    });
  }

  async #ask() {
    const { hits, found, more } = this.#fields;
    const turn = ++this.#turn;
    const first = this.#next === null;
    found.textContent = "Searching…";
    try {
      const page = await this.#asks(this.#words, { limit: HITS_MAX, after: this.#next ?? undefined });
      if (turn !== this.#turn) return;
      if (first) this.#seen.clear();
      const items = page.hits.filter((hit) => this.#new(hit)).map((hit) => item(hit, this.#words));
      if (first) hits.replaceChildren(...items);
      else hits.append(...items);
      this.#next = page.next;
      more.hidden = page.next === null;
      found.textContent = counted(hits.children.length, page.next !== null);
    } catch (failure) {
      if (turn !== this.#turn) return;
      found.textContent = "";
      this.#failed(failure);
    }
  }

  #new({ title, start, text }) {
    const said = JSON.stringify([title, start, text]);
    return !this.#seen.has(said) && this.#seen.add(said);
  }
}

function counted(count, more) {
  if (count === 0) return "Nobody says that in a transcript that is kept here.";
  return `${many(count, "place")}${more ? ", and more" : ""}.`;
}

function item({ id, title, start, text }, words) {
  const hit = document.createElement("a");
  hit.className = "hit";
  hit.href = `#${new URLSearchParams({ transcript: id, t: String(start) })}`;
  hit.dataset.start = start;
  const at = document.createElement("span");
  at.className = "at";
  at.textContent = time(start);
  const said = document.createElement("span");
  said.className = "said";
  said.dir = "auto";
  said.append(...marked(text.trim(), words));
  const from = document.createElement("small");
  from.dir = "auto";
  from.textContent = title ?? "A file without a title";
  hit.append(at, said, from);
  const line = document.createElement("li");
  line.append(hit);
  return line;
}

/** A text with what was looked for marked in it. */
function marked(text, words) {
  const terms = words.split(/\s+/).map((term) => term.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return text.split(new RegExp(`(${terms.join("|")})`, "iu")).map((piece, place) => {
    if (place % 2 === 0) return piece;
    const mark = document.createElement("mark");
    mark.textContent = piece;
    return mark;
  });
}
