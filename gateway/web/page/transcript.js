/** The running transcript: segments with their times, whose words are played from. */

import { duration, time } from "./figures.js";
import * as spoken from "./spoken.js";

const NEAR_S = 0.02; // a player that was set to a second may stand just before it
const LOW = -0.8; // of avg_logprob: Whisper itself thinks of another try not far below

/** The list of segments. */
export class Transcript {
  #list;
  #clock;
  #items = []; // {number, start, item}, in order
  #now = null;

  constructor(list, clock) {
    this.#list = list;
    this.#clock = clock;
    clock.addEventListener("tick", () => this.#tell());
    list.addEventListener("click", (event) => this.#play(event.target));
    list.addEventListener("keydown", (event) => this.#step(event));
    list.addEventListener("focusin", (event) => this.#rest(event.target));
  }

  /** Nothing was said. */
  clear() {
    this.#now = null;
    this.#items = [];
    this.#list.replaceChildren();
  }

  /** Which language it is in, and which way that is written. */
  set language({ tag, direction }) {
    this.#list.lang = tag;
    this.#list.dir = direction;
  }

  /** How many segments there are. */
  get length() {
    return this.#items.length;
  }

  /** A segment has come; one with the same number gives way to it. */
  add(segment) {
    const item = element(segment);
    const there = this.#items.findIndex((one) => one.number === segment.id);
    const entry = { number: segment.id, start: segment.start, item };
    if (there >= 0) {
      this.#items[there].item.replaceWith(item);
      this.#items[there] = entry;
    } else {
      this.#list.append(item);
      this.#items.push(entry);
    }
    if (!this.#list.querySelector("[tabindex='0']")) this.#rest(item.querySelector(".time"));
    this.#tell();
  }

  /** It has so many segments and no more. */
  end(count) {
    for (const { item } of this.#items.splice(count)) item.remove();
  }

  /** Shows the segment that is spoken at some second, where nothing plays that would show it. */
  point(at) {
    const item = this.#at(at);
    item?.scrollIntoView({ block: "center" });
    item?.classList.add("pointed");
  }

  #at(at) {
    return this.#items.findLast(({ start }) => start <= at + NEAR_S)?.item ?? null;
  }

  #tell() {
    const at = this.#clock.time;
    const item = this.#at(at);
    if (item !== this.#now) {
      if (this.#now) spoken.mark(this.#now, -1);
      this.#now?.classList.remove("now");
      this.#now = item;
      item?.classList.add("now");
      if (item) this.#follow(item);
    }
    if (item) spoken.mark(item, at);
  }

  /** Keeps the spoken segment in sight, unless somebody is reading elsewhere; never moves the page. */
  #follow(item) {
    const list = this.#list;
    if (list.scrollHeight <= list.clientHeight || list.matches(":hover, :focus-within")) return;
    list.scrollTo({ top: item.offsetTop - list.offsetTop - list.clientHeight / 3 });
  }

  #play(target) {
    const place = target.closest(".word") ?? target.closest(".time");
    if (place) this.#clock.seek(Number(place.dataset.start));
  }

  /** The list is one stop of the Tab key: this place, until another one is gone to. */
  #rest(place) {
    for (const one of this.#list.querySelectorAll("[tabindex='0']")) one.tabIndex = -1;
    place.tabIndex = 0;
  }

  /** Up and down go through the times, left and right through the words of a segment. */
  #step(event) {
    const place = event.target;
    if (event.key === "Enter" && place.matches(".word")) return this.#play(place);
    const item = place.closest("li");
    const next = beside(event.key, item, place);
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
}

/** Where a key leads from a place. */
function beside(key, item, place) {
  const first = (one) => one?.querySelector(".time");
  const all = [...item.querySelectorAll(".time, .word")];
  const along = getComputedStyle(item).direction === "rtl" ? -1 : 1;
  const number = all.indexOf(place);
  const to = {
    ArrowUp: () => first(item.previousElementSibling),
    ArrowDown: () => first(item.nextElementSibling),
    ArrowRight: () => all[number + along],
    ArrowLeft: () => all[number - along],
    Home: () => first(item.parentElement.firstElementChild),
    End: () => first(item.parentElement.lastElementChild),
  };
  return Object.hasOwn(to, key) ? to[key]() : null;
}

function element(segment) {
  const item = document.createElement("li");
  item.className = "segment";
  item.dataset.index = segment.id;
  item.dataset.start = segment.start;
  item.dataset.end = segment.end;
  const low = typeof segment.avg_logprob === "number" && segment.avg_logprob < LOW;
  item.dataset.confidence = low ? "low" : "ok";
  item.append(button(segment), text(segment));
  if (low) item.append(unsure());
  return item;
}

function button({ start }) {
  const place = document.createElement("button");
  place.type = "button";
  place.className = "time";
  place.tabIndex = -1;
  place.dataset.start = start;
  place.dir = "ltr";
  const told = document.createElement("time");
  told.dateTime = duration(start);
  told.textContent = time(start);
  place.append(told);
  place.setAttribute("aria-label", `Play from ${time(start)}`);
  return place;
}

function text(segment) {
  const said = document.createElement("p");
  said.dir = "auto";
  said.append(...spoken.spaced(spoken.words(segment)));
  for (const word of said.querySelectorAll(".word")) word.tabIndex = -1;
  return said;
}

function unsure() {
  const note = document.createElement("small");
  note.textContent = "not heard clearly";
  return note;
}
