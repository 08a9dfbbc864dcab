/**
 * Where the post is played: the time of the element that is heard now.
 *
 * Always: one element is heard at once; `tick` is told with each frame while it plays, and whenever its time
 * is moved.
 */
export class Clock extends EventTarget {
  #media = null;
  #known = new WeakSet();
  #frame = 0;
  #begins = 0; // where the next element goes once it knows its length

  /** Follows an element; the one before is stopped. `at` is where it begins. */
  follow(media, at = 0) {
    if (this.#media !== null && this.#media !== media) this.#media.pause();
    if (!this.#known.has(media)) {
      this.#known.add(media);
      for (const event of ["play", "seeked", "timeupdate"]) media.addEventListener(event, () => this.#run(media));
      media.addEventListener("loadedmetadata", () => this.#begin(media));
    }
    this.#media = media;
    this.#begins = at;
    if (media.readyState >= HTMLMediaElement.HAVE_METADATA) this.#begin(media);
  }

  /** Seconds from the start. */
  get time() {
    return this.#begins || (this.#media?.currentTime ?? 0);
  }

  /** How long it is, null while that is not known. */
  get duration() {
    const told = this.#media?.duration;
    return Number.isFinite(told) ? told : null;
  }

  /** Plays from there; where nothing is to be played, false. */
  seek(at) {
    if (this.#media === null) return false;
    if (this.#media.readyState >= HTMLMediaElement.HAVE_METADATA) this.#media.currentTime = at;
    else this.#begins = at;
    this.play();
    return true;
  }

  /** Plays, where the browser lets a page do so. */
  play() {
    this.#media?.play().catch(() => {}); // else it waits for somebody to press play
  }

  /** Nothing is heard. */
  stop() {
    this.#media?.pause();
    this.#media = null;
    this.#begins = 0;
    cancelAnimationFrame(this.#frame);
  }

  #begin(media) {
    if (media !== this.#media || this.#begins === 0) return;
    media.currentTime = this.#begins;
    this.#begins = 0;
  }

  #run(media) {
    if (media !== this.#media) return;
    cancelAnimationFrame(this.#frame);
    this.dispatchEvent(new Event("tick"));
    if (!media.paused && !media.ended) this.#frame = requestAnimationFrame(() => this.#run(media));
  }
}
