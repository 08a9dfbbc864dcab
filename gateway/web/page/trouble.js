/** The card that says what went wrong. */

import * as failures from "./failure.js";

/** Shown for one failure at a time, with a way to try again where there is something to try. */
export class Trouble {
  #card;
  #happened;
  #advice;
  #again;
  #keys;

  constructor({ card, happened, advice, again }, keys) {
    this.#card = card;
    this.#happened = happened;
    this.#advice = advice;
    this.#again = again;
    this.#keys = keys;
  }

  /** Tells a failure; a field that has to be filled in is gone to. */
  show(failure, { again }) {
    const { code, happened, advice, field } = failures.told(failure, { keyed: this.#keys.key !== "" });
    this.#card.dataset.code = code;
    this.#happened.textContent = happened;
    this.#advice.textContent = advice;
    this.#again.hidden = !again;
    this.#card.hidden = false;
    if (field) this.#keys.demand(field);
  }

  /** All is well. */
  clear() {
    this.#card.hidden = true;
    delete this.#card.dataset.code;
  }
}
