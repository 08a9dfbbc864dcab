/** The page. Start reading here: its pieces, and what people do with it. The story is in show.js. */

import { Album } from "./album.js";
import { Captions } from "./captions.js";
import { Clipwire } from "./clipwire.js";
import { Clock } from "./clock.js";
import { Keys } from "./keys.js";
import * as languages from "./language.js";
import { Player } from "./player.js";
import { Saves } from "./saves.js";
import { Screen } from "./screen.js";
import { Search } from "./search.js";
import { sending } from "./sending.js";
import { Share } from "./share.js";
import { Show, told } from "./show.js";
import * as sources from "./source.js";
import { Standing } from "./standing.js";
import { Transcript } from "./transcript.js";
import { Trouble } from "./trouble.js";
import { Words } from "./words.js";

const BASE = new URL("..", import.meta.url).href.replace(/\/$/, ""); // where the gateway is mounted
const WAIT_S_MAX = 2; // longer waits are told, and tried again by whoever waits

const at = (id) => document.getElementById(id);
const some = (...ids) => Object.fromEntries(ids.map((id) => [id, at(id)]));

// The pieces

const clock = new Clock();
const screen = new Screen(at("screen"));
const standing = new Standing(some("status", "queue", "amount", "bytes"));
const keys = new Keys(at("options"), some("key", "code"));
const trouble = new Trouble({ card: at("error"), ...some("happened", "advice", "again") }, keys);
const captions = new Captions(at("caption"), at("player"), at("cues").track, clock);
const transcript = new Transcript(at("transcript"), clock);
const show = new Show({
  root: at("show"),
  heading: at("title"),
  stop: at("stop"),
  clock,
  keys,
  standing,
  screen,
  album: new Album(some("album", "slides", "dots", "previous", "next", "slideshow"), screen),
  player: new Player(some("player", "sound", "unseen"), screen, clock, (...what) => show.broke(...what)),
  saves: new Saves(at("saves"), BASE),
  share: new Share({ button: at("share"), field: at("shared"), standing, shown, clock, base: BASE }),
  trouble,
  words: new Words({ captions, transcript, standing, clock, detected: at("detected") }),
  gateway,
});

function gateway() {
  const sent = (done, total) => {
    standing.arrived(done, total, "sent");
    if (done >= total) standing.say("Listening…");
  };
  return new Clipwire(BASE, { key: keys.key || undefined, fetch: sending(sent), waitSMax: WAIT_S_MAX });
}

/** What is shown, as others can open it: of a file, its words. */
function shown() {
  return show.source.kind === "file" ? { kind: "transcript", id: show.id } : show.source;
}

// What people do

function ask(source) {
  if (source.kind === "post") at("file").value = "";
  else at("address").value = "";
  told(source);
  show.open(source);
}

/** Opens what a fragment names; what is shown already is only played from there. */
function go(fragment) {
  const source = sources.read(fragment);
  if (source === null) return;
  at("address").value = source.address ?? "";
  if (!show.shows(source)) show.open(source);
  else if (!clock.seek(source.at)) transcript.point(source.at);
}

function chosen() {
  const [file] = at("file").files;
  if (file && file !== show.source?.file) ask(sources.upload(file, { language: at("language").value }));
}

function linked(text) {
  at("address").value = text;
  ask(sources.post(text, { language: at("language").value }));
}

for (const [code, name] of languages.all()) at("language").add(new Option(name, code));

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = at("address").value.trim();
  if (text) linked(text);
  else if (at("file").files.length > 0) chosen();
  else at("address").focus();
});
at("file").addEventListener("change", chosen);
at("stop").addEventListener("click", () => show.stop());
at("again").addEventListener("click", () => show.again());
at("slideshow").addEventListener("click", () => show.slideshow());

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const { files } = event.dataTransfer;
  const text = event.dataTransfer.getData("text");
  if (files.length > 0) ask(sources.upload(files[0], { language: at("language").value }));
  else if (text) linked(text);
});
addEventListener("hashchange", () => go(location.hash));

new Search(some("search", "query", "hits", "found", "more"), {
  asks: (words, page) => {
    trouble.clear();
    return gateway().search(words, page);
  },
  opens: (fragment) => {
    history.pushState(null, "", fragment);
    go(fragment);
  },
  failed: (failure) => trouble.show(failure, { again: false }),
});
go(location.hash);
