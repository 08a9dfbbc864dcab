/**
 * What is shown: a post, a kept transcript or a file, from asking for it to its end.
 *
 * Always: one source is shown at once, and what another still does is left; a failure of the words leaves
 * the media, and the other way about.
 */

import { ClipwireError, Cut, Unreachable } from "./clipwire.js";
import * as sources from "./source.js";
import { events } from "./words.js";

/** The source that is shown, one after the other. */
export class Show {
  source = null;
  id = null; // of its words, once that is known
  #page;
  #work = null; // ends what is done for the source
  #whole = false; // its media are all told
  #failed = false;
  #unfilmed = false; // and it was the film that failed
  #came = false; // something of it is to be seen

  /** `page` has the pieces of the page, and `gateway()`. */
  constructor(page) {
    this.#page = page;
  }

  /** Shows a source: its media and its words are asked for at once. `again`: what came of it before stays. */
  async open(source, { again = false, from = source.at } = {}) {
    const { player, standing } = this.#page;
    const whole = again && this.#whole && player.arrived;
    this.#begin(source, again, whole);
    const { signal } = this.#work;
    const failed = (failure) => {
      if (!signal.aborted) this.fail(failure);
    };
    await Promise.all([
      whole ? null : this.#media(source, from, signal).catch(failed),
      this.#words(source, signal).catch(failed),
    ]);
    if (signal.aborted) return;
    this.#running(false);
    standing.rest();
    if (!this.#failed) state("complete");
  }

  /** Tries again what failed, and goes on where it was. */
  again() {
    if (this.#unfilmed) return this.#filming();
    return this.open(this.source, { again: true, from: this.#page.clock.time });
  }

  /** Leaves the work; what came of it stays. */
  stop() {
    this.#work.abort();
    this.#work = new AbortController();
    this.#running(false);
    this.#page.standing.rest();
    this.#page.standing.say("Stopped.");
    state("idle");
  }

  /** Whether that is what is shown. */
  shows(source) {
    if (this.source === null || this.#failed) return false;
    return sources.same(this.source, source) || (source.kind === "transcript" && source.id === this.id);
  }

  /** The film of a photo post in place of its pictures; or these again. */
  async slideshow() {
    const { album, player } = this.#page;
    if (album.aside) {
      player.photos();
      album.aside = false;
      return;
    }
    await this.#filming();
  }

  /** Says what went wrong; of several failures of one source, the first. */
  fail(failure, { film = false } = {}) {
    if (!(failure instanceof ClipwireError)) console.error(failure);
    this.#unfilmed = film && (this.#unfilmed || !this.#failed);
    if (this.#failed) return;
    this.#failed = this.source !== null;
    this.#page.trouble.show(failure, { again: this.#failed });
    this.#page.standing.say("");
    this.#page.root.hidden = !this.#came;
    state("failed");
  }

  /** What played does not go on: the server is asked whether it is its fault. */
  async broke(location, begun) {
    const { album, gateway, player } = this.#page;
    const { signal } = this.#work;
    const film = album.aside;
    const bytes = gateway().media(location, { signal });
    try {
      await bytes.next();
      if (signal.aborted || this.#failed) return;
      if (begun) this.fail(new Cut("the media ended early"), { film });
      else player.unplayable();
    } catch (failure) {
      const cut = failure instanceof Unreachable ? new Cut(failure.message) : failure;
      if (!signal.aborted) this.fail(cut, { film });
    } finally {
      await bytes.return();
    }
  }

  #begin(source, again, whole) {
    const { album, player, saves, share, standing, trouble, words } = this.#page;
    this.#work?.abort();
    this.#work = new AbortController();
    this.#whole = whole;
    this.#failed = false;
    this.#unfilmed = false;
    this.source = source;
    trouble.clear();
    if (!again) {
      this.id = null;
      this.#came = false;
      this.#title("");
      for (const piece of [words, saves, player, share]) piece.clear();
    }
    if (!whole) {
      saves.clearParts();
      album.clear();
    }
    this.#running(true);
    standing.rest();
    standing.say(source.kind === "file" ? "Sending the file…" : "Looking for it…");
    state("asking");
  }

  /** The parts of a post, each shown as it comes; or a file of one's own. */
  async #media(source, from, signal) {
    const { album, gateway, player, saves, standing } = this.#page;
    if (source.kind === "file") {
      this.#title(source.file.name);
      this.#plays(signal);
      this.#whole = true;
      return player.file(source.file, from);
    }
    const address = await this.#address(source, signal);
    if (address === null) return player.without();
    const download = gateway().download(address, { mode: "ORIGINAL", signal });
    try {
      const { title } = await download.head();
      signal.throwIfAborted(); // what another source has begun is not touched
      this.#title(title);
      if (this.id === null) standing.say("Fetching it…");
      for await (const part of download) {
        saves.part(part);
        this.#plays(signal);
        if (part.type.startsWith("image/")) {
          const bytes = await part.bytes();
          signal.throwIfAborted();
          album.add(new Blob([bytes], { type: part.type }));
          continue;
        }
        // the element reads by the part's link from now on, and nothing comes after it
        if (part.type.startsWith("video/")) await player.video(part.location, from);
        else await player.sound(part.location, from);
        break;
      }
      signal.throwIfAborted();
      this.#whole = true;
    } finally {
      await download.return();
    }
  }

  /** Makes the film; where it had failed, that is forgotten. */
  async #filming() {
    const { album } = this.#page;
    const { signal } = this.#work;
    if (this.#unfilmed) this.#well();
    album.making = true;
    try {
      await this.#film(signal);
    } catch (failure) {
      if (!signal.aborted) this.fail(failure, { film: true });
    } finally {
      album.making = false;
    }
  }

  /** The photos and the sound of a post as one video, which takes the server some seconds. */
  async #film(signal) {
    const { album, clock, gateway, player, saves, standing } = this.#page;
    standing.say("Making a film of the photos…");
    const address = await this.#address(this.source, signal);
    const download = gateway().download(address, { mode: "VIDEO_ONLY", signal });
    try {
      const { value: part } = await download.next();
      signal.throwIfAborted();
      album.aside = true;
      saves.film(part);
      await player.video(part.location, clock.time);
      signal.throwIfAborted();
      standing.say("Here is the film.");
    } finally {
      await download.return();
    }
  }

  /** The words, each segment as it comes. */
  async #words(source, signal) {
    const { gateway, keys, saves, share, words } = this.#page;
    try {
      for await (const event of events(source, gateway(), keys, signal)) {
        signal.throwIfAborted();
        words.hear(event);
        if (event.type !== "info") continue;
        this.id = event.id;
        if (source.kind === "file") told({ kind: "transcript", id: event.id }, { replace: true });
        saves.words(event.id, this.#page.heading.textContent);
        share.ready();
        this.#plays(signal);
      }
    } catch (failure) {
      // a photo post may be silent, which is no fault of it
      if (failure.code !== "NOT_VIDEO_CONTENT" || signal.aborted) throw failure;
      words.silent();
    }
  }

  /** Where a source is found at the site; null for the words of a file, which is not kept. */
  async #address(source, signal) {
    if (source.kind === "post") return source.address;
    const kept = await this.#page.gateway().transcript(source.id, { signal });
    signal.throwIfAborted();
    this.#title(kept.title ?? "");
    return kept.url;
  }

  #title(text) {
    this.#page.heading.textContent = text;
    if (this.id !== null) this.#page.saves.words(this.id, text);
    document.title = text ? `${text.slice(0, 80)} · clipwire` : "clipwire";
  }

  /** The first of it is here. */
  #plays(signal) {
    if (signal.aborted) return;
    if (!this.#failed) state("playing");
    if (this.#came) return;
    this.#came = true;
    this.#page.root.hidden = false;
    this.#page.screen.look();
  }

  /** Nothing has failed. */
  #well() {
    this.#failed = false;
    this.#unfilmed = false;
    this.#page.trouble.clear();
    state(this.#page.stop.hidden ? "complete" : "playing");
  }

  #running(on) {
    this.#page.stop.hidden = !on;
  }
}

/** Where the page stands, for its style and for those who wait for it. */
function state(name) {
  document.documentElement.dataset.state = name;
}

/** The page's own address tells what is shown, so that it can be kept and come back to. */
export function told(source, { replace = false } = {}) {
  const fragment = sources.fragment(source, source.at);
  if (fragment === location.hash) return;
  if (replace) history.replaceState(null, "", fragment);
  else history.pushState(null, "", fragment || location.pathname + location.search);
}
