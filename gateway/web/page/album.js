/** A photo post: its pictures side by side, one at a time in sight, moved by swiping, buttons or keys. */

const KEYS = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };

/** The pictures of one post. */
export class Album {
  #root;
  #slides;
  #dots;
  #previous;
  #next;
  #film; // the button for it
  #screen;
  #urls = [];
  #aside = false;

  constructor({ album, slides, dots, previous, next, slideshow }, screen) {
    this.#root = album;
    this.#slides = slides;
    this.#dots = dots;
    this.#previous = previous;
    this.#next = next;
    this.#film = slideshow;
    this.#screen = screen;
    previous.addEventListener("click", () => this.#move(-1));
    next.addEventListener("click", () => this.#move(1));
    slides.addEventListener("scroll", () => this.#mark(), { passive: true });
    album.addEventListener("keydown", (event) => {
      const towards = KEYS[event.key];
      if (!towards) return;
      event.preventDefault();
      this.#move(towards);
    });
  }

  /** How many there are. */
  get length() {
    return this.#urls.length;
  }

  /** No pictures. */
  clear() {
    for (const url of this.#urls) URL.revokeObjectURL(url);
    this.#urls = [];
    this.#slides.replaceChildren();
    this.#dots.replaceChildren();
    this.aside = false;
    this.#film.hidden = true;
  }

  /** Whether the film is shown in place of the pictures. */
  get aside() {
    return this.#aside;
  }

  set aside(on) {
    this.#aside = on;
    this.#root.hidden = on || this.length === 0;
    this.#film.textContent = on ? "Back to the photos" : "Play as a film";
  }

  /** The film is being made. */
  set making(on) {
    this.#film.disabled = on;
  }

  /** One more picture. */
  add(blob) {
    const url = URL.createObjectURL(blob);
    this.#urls.push(url);
    const picture = document.createElement("img");
    picture.src = url;
    // the first one's, for all: they are shown whole in it
    const shape = () => this.#screen.shape(picture.naturalWidth, picture.naturalHeight);
    if (this.length === 1) picture.addEventListener("load", shape);
    picture.addEventListener("error", () => picture.replaceWith("This browser cannot show this photo: save it."));
    const slide = document.createElement("li");
    slide.className = "slide";
    slide.append(picture);
    this.#slides.append(slide);
    this.#dots.append(document.createElement("span"));
    this.#root.hidden = this.aside;
    this.#film.hidden = false;
    this.#mark();
  }

  get #place() {
    const width = this.#slides.clientWidth || 1;
    return Math.min(this.length - 1, Math.round(Math.abs(this.#slides.scrollLeft) / width));
  }

  #move(by) {
    const to = Math.max(0, Math.min(this.length - 1, this.#place + by));
    this.#slides.scrollTo({ left: to * this.#slides.clientWidth });
  }

  #mark() {
    const place = this.#place;
    [...this.#dots.children].forEach((dot, number) => dot.classList.toggle("now", number === place));
    this.#previous.disabled = place === 0;
    this.#next.disabled = place === this.length - 1;
    [...this.#slides.querySelectorAll("img")].forEach((picture, number) => {
      picture.alt = `Picture ${number + 1} of ${this.length}`;
    });
    this.#root.setAttribute("aria-label", `Picture ${place + 1} of ${this.length}`);
  }
}
