/** What pictures are shown on, in their shape. */
export class Screen {
  #root;

  constructor(root) {
    this.#root = root;
  }

  /** Of nothing yet. */
  clear() {
    this.#root.removeAttribute("data-shape");
  }

  /** Of so many pixels; of sound alone, none. */
  shape(width, height) {
    this.#root.dataset.shape = width === 0 ? "sound" : height > width ? "tall" : "wide";
    if (width > 0) this.#root.style.setProperty("--aspect", `${width} / ${height}`);
  }

  /** Nothing can be shown. */
  none() {
    this.#root.dataset.shape = "none";
  }

  /** Brings it into sight, by as little as it takes. */
  look() {
    this.#root.scrollIntoView({ block: "nearest" });
  }
}
