/** Words and when they are spoken. */

const UNSURE = 0.4; // below it a word is more often wrong than right
const NEAR_S = 0.02; // a player that was set to a word may stand just before it
const LATE_S = 0.3; // how long a word stays the spoken one when no other follows

/** The words of a segment; of one without times for each, all of it as one. */
export function words(segment) {
  if (segment.words?.length) return segment.words;
  return [{ start: segment.start, end: segment.end, word: segment.text, probability: 1 }];
}

/** A word as an element. */
export function element({ start, end, word, probability }) {
  const span = document.createElement("span");
  span.className = probability < UNSURE ? "word unsure" : "word";
  span.dataset.start = start;
  span.dataset.end = end;
  span.textContent = word.trim();
  return span;
}

/** The elements with a space between, where their text had one. */
export function spaced(list) {
  return list.flatMap((one, place) =>
    place > 0 && /^\s/.test(one.word) ? [" ", element(one)] : [element(one)],
  );
}

/** Marks the word that is spoken now among those of an element, and unmarks the one before. */
export function mark(within, time) {
  const all = [...within.querySelectorAll(".word")];
  const last = all.findLast((one) => Number(one.dataset.start) <= time + NEAR_S);
  const now = last !== undefined && time < Number(last.dataset.end) + LATE_S ? last : null;
  for (const one of all) {
    if (one === now || !one.classList.contains("spoken")) continue;
    one.classList.remove("spoken");
    one.removeAttribute("aria-current");
  }
  now?.classList.add("spoken");
  now?.setAttribute("aria-current", "true");
  return now;
}
