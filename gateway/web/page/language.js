/** Languages that are recognised: their names in the reader's own, and how they are written. Pure. */

// those of gateway/speech/languages.py; a test holds both together
const CODES = (
  "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy" +
  " id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru" +
  " sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh"
).split(" ");
const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ps", "sd", "ur", "yi"]);
const KNOWN_AS = { jw: "jv" }; // the model's own code for Javanese

/** A language as the web calls it, for `lang`. */
export const tag = (code) => KNOWN_AS[code] ?? code ?? "";

/** A language's name; its code where the browser knows none. */
export function name(code) {
  try {
    return new Intl.DisplayNames(undefined, { type: "language" }).of(tag(code)) ?? code;
  } catch {
    return code;
  }
}

/** Which way a language is written. */
export const direction = (code) => (RIGHT_TO_LEFT.has(code) ? "rtl" : code ? "ltr" : "auto");

/** All of them as `[code, name]`, in the order of their names. */
export function all() {
  const named = CODES.map((code) => [code, name(code)]);
  return named.sort(([, one], [, other]) => one.localeCompare(other));
}
