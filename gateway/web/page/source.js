/** What is asked for: a post, a kept transcript or a file; and how the page's address tells it. Pure. */

const ADDRESS = /https?:\/\/[^\s<>"]+/i;

/** The post that a link or a share text names; where it names none, the gateway says so. */
export function post(text, { language = "", at = 0 } = {}) {
  const address = (ADDRESS.exec(text)?.[0] ?? text).trim();
  return { kind: "post", address, language, at };
}

/** A file that somebody chose. */
export const upload = (file, { language = "" } = {}) => ({ kind: "file", file, language, at: 0 });

/** What `#post=...&t=...` or `#transcript=...&t=...` asks for; null for any other fragment. */
export function read(fragment) {
  const told = new URLSearchParams(fragment.replace(/^#/, ""));
  const t = Number(told.get("t"));
  const at = Number.isFinite(t) && t > 0 ? t : 0;
  const [address, id] = [told.get("post"), told.get("transcript")];
  if (address) return post(address, { language: told.get("language") ?? "", at });
  if (id) return { kind: "transcript", id, at };
  return null;
}

/** The fragment of a source, at some second; empty for a file that has no transcript yet. */
export function fragment(source, at = 0) {
  const told = new URLSearchParams();
  if (source.kind === "post") told.set("post", source.address);
  else if (source.id) told.set("transcript", source.id);
  else return "";
  if (source.language && source.kind === "post") told.set("language", source.language);
  if (at >= 1) told.set("t", String(Math.floor(at)));
  return `#${told}`;
}

/** Whether two of them are the same thing, wherever it is played from. */
export const same = (one, other) => fragment(one) !== "" && fragment(one) === fragment(other);
