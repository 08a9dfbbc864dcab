/** The link to what is shown, at the second that is played. */

import * as sources from "./source.js";

/** A button that copies it, and a field where it can be read. */
export class Share {
  #button;
  #field;
  #standing;

  /** `shown` gives what is shown, or null; `clock` the second; `base` is where the gateway is. */
  constructor({ button, field, standing, shown, clock, base }) {
    this.#button = button;
    this.#field = field;
    this.#standing = standing;
    button.addEventListener("click", () => {
      this.#copy(`${base}/ui${sources.fragment(shown(), clock.time)}`);
    });
  }

  /** There is nothing to share. */
  clear() {
    this.#button.hidden = true;
    this.#field.hidden = true;
  }

  /** There is. */
  ready() {
    this.#button.hidden = false;
  }

  async #copy(link) {
    this.#field.value = link;
    this.#field.hidden = false;
    this.#field.select();
    try {
      await navigator.clipboard.writeText(link);
      this.#standing.say("The link is copied.");
    } catch {
      this.#standing.say("Copy the link from the field."); // without https a page may not do so itself
    }
  }
}
