/** Where the work stands, in words and as a bar. */

import * as figures from "./figures.js";

/** The lines below the form. What changes each second is not read out; what counts is. */
export class Standing {
  #status;
  #queue;
  #amount;
  #bar;

  constructor({ status, queue, amount, bytes }) {
    this.#status = status;
    this.#queue = queue;
    this.#amount = amount;
    this.#bar = bytes;
  }

  /** What happens now; said once. */
  say(words) {
    if (this.#status.textContent !== words) this.#status.textContent = words;
  }

  /** How much goes before this one. */
  waiting(position, seconds) {
    const before = `${figures.many(position, "piece")} of other work ${position === 1 ? "goes" : "go"} first`;
    this.#queue.textContent =
      position > 0 ? `${before}${seconds === null ? "" : `, ${figures.wait(seconds)}`}.` : "";
  }

  /** How much has arrived, or was sent; `total` is null while nobody knows it. */
  arrived(done, total, verb = "here") {
    const whole = total !== null && done >= total;
    this.#bar.hidden = whole;
    if (total === null) this.#bar.removeAttribute("value");
    else Object.assign(this.#bar, { max: total, value: done });
    this.#amount.textContent = whole
      ? `${figures.bytes(done)} ${verb}.`
      : `${figures.bytes(done)}${total === null ? "" : ` of ${figures.bytes(total)}`} ${verb}.`;
  }

  /** Nothing is waited for. */
  rest() {
    this.#bar.hidden = true;
    this.#queue.textContent = "";
    this.#amount.textContent = "";
  }
}
