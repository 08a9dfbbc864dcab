/** What is played: a video, the sound of photos, a film made of them, or a file of one's own. */

/** The elements that play, one of them at once. */
export class Player {
  #video;
  #sound;
  #unseen;
  #screen;
  #clock;
  #broke;
  #now = null; // the element that plays what is shown
  #file = null; // the address of a file of one's own

  /** `broke` is told of the link of what does not go on, and whether it had begun. */
  constructor({ player, sound, unseen }, screen, clock, broke) {
    this.#video = player;
    this.#sound = sound;
    this.#unseen = unseen;
    this.#screen = screen;
    this.#clock = clock;
    this.#broke = broke;
    player.addEventListener("loadedmetadata", () => this.#shape());
    for (const media of [player, sound]) media.addEventListener("error", () => this.#failed(media));
  }

  /** Nothing is played. */
  clear() {
    this.#clock.stop();
    this.#now = null;
    this.#unseen.hidden = true;
    for (const media of [this.#video, this.#sound]) {
      media.hidden = true;
      if (!media.hasAttribute("src")) continue;
      media.removeAttribute("src");
      media.load();
    }
    if (this.#file !== null) URL.revokeObjectURL(this.#file);
    this.#file = null;
    this.#screen.clear();
  }

  /** Plays a video from its link; comes back once its first bytes are here, or cannot be had. */
  video(location, at) {
    return this.#play(this.#video, location, at);
  }

  /** Plays the sound of photos from its link. */
  sound(location, at) {
    return this.#play(this.#sound, location, at);
  }

  /** Plays a file of one's own. */
  file(file, at) {
    if (this.#file !== null) URL.revokeObjectURL(this.#file);
    this.#file = URL.createObjectURL(file);
    return this.#play(this.#video, this.#file, at);
  }

  /** There is nothing to play: the words are of a file that is not kept. */
  without() {
    this.#screen.none();
    this.#note("These are the words of a file, which itself is not kept.");
  }

  /** Goes back to the sound of the photos. */
  photos() {
    this.#video.hidden = true;
    if (!this.#sound.hasAttribute("src")) return this.#clock.stop();
    this.#sound.hidden = false;
    this.#now = this.#sound;
    this.#clock.follow(this.#sound);
  }

  /** Whether all of it is here, so that nothing more is wanted of the server. */
  get arrived() {
    const media = this.#now;
    if (media === null || this.#file !== null) return true;
    const { buffered, duration } = media;
    return !media.error && buffered.length > 0 && buffered.end(buffered.length - 1) > duration - 0.5;
  }

  #play(media, address, at) {
    this.#now = media;
    this.#unseen.hidden = true;
    const other = media === this.#video ? this.#sound : this.#video;
    other.hidden = true;
    media.hidden = false;
    const begun = first(media);
    media.src = address;
    this.#clock.follow(media, at);
    this.#clock.play();
    return begun;
  }

  #shape() {
    this.#screen.shape(this.#video.videoWidth, this.#video.videoHeight);
  }

  #failed(media) {
    if (media !== this.#now || !media.hasAttribute("src")) return;
    // an element that has no start says the same of bytes that it cannot read as of none at all
    const lost = [MediaError.MEDIA_ERR_NETWORK, MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED];
    const begun = media.readyState >= HTMLMediaElement.HAVE_METADATA; // it does understand the file
    if (this.#file === null && lost.includes(media.error?.code)) this.#broke(media.getAttribute("src"), begun);
    else this.unplayable();
  }

  /** The browser can make nothing of it. */
  unplayable() {
    this.#screen.none();
    this.#note("This browser cannot play it. Its words come all the same, and it can be saved.");
  }

  #note(words) {
    this.#unseen.textContent = words;
    this.#unseen.hidden = false;
  }
}

/** Waits for the first sign of an element: bytes, or that there will be none. */
function first(media) {
  return new Promise((came) => {
    const signs = ["progress", "loadedmetadata", "error", "emptied"];
    const done = () => {
      for (const sign of signs) media.removeEventListener(sign, done);
      came();
    };
    // a link before this one is let go with an `emptied` of its own
    setTimeout(() => {
      for (const sign of signs) media.addEventListener(sign, done);
    });
  });
}
