/** What went wrong and what to do, in words for people. Pure. */

const CAME = "What came before is still here. Try again to go on from there.";
const OTHER = "Use another code: each is good for one file.";

// by the gateway's code, or the kind of the client's error: what happened, and what to do
const WORDS = {
  INVALID_URL: ["This is no link to a post.", "Paste the link that the app’s Share button gives, or the whole shared text."],
  VIDEO_UNAVAILABLE: ["This post is not there.", "It was deleted, is under review, or the link is wrong."],
  VIDEO_PRIVATE: ["This post or its account is private.", "Only those whom its author lets in can see it."],
  GEO_BLOCKED: ["This post is not shown where the server is.", "The operator of this server may know a way."],
  LOGIN_REQUIRED: ["This post is shown to signed-in viewers only.", "The operator of this server may know a way."],
  VIDEO_TOO_LONG: ["This is longer than the server takes.", "Try a shorter one."],
  AUDIO_TOO_LONG: ["This is longer than the server takes.", "Try a shorter one."],
  BODY_TOO_LARGE: ["This file is larger than the server takes.", "Try a smaller one."],
  NOT_VIDEO_CONTENT: ["This post has nothing that could be played here.", ""],
  MEDIA_UNDECODABLE: ["No sound could be made out in it.", "Try another file or post."],
  NOT_AUDIO: ["This file is neither audio nor video.", "Choose another one."],
  UNSUPPORTED_MEDIA_TYPE: ["This file is neither audio nor video.", "Choose another one."],
  API_KEY_INVALID: ["This server wants an API key.", "Enter it under Options, then try again. For a file a credit code will do."],
  RATE_LIMIT_EXCEEDED: ["That was too much at once.", "Wait a moment, then try again."],
  QUOTA_EXCEEDED: ["What this key may use is used up.", "Wait until there is room again, or ask the operator of this server."],
  BUSY: ["The server has all hands full.", "Wait a moment, then try again."],
  STORE_UNAVAILABLE: ["The server cannot reach its database.", "Wait a moment, then try again."],
  NOT_FOUND: ["This is not kept here any more.", "Open the post itself again."],
  CANCELLED: ["Somebody stopped this transcript.", "Try again to begin anew."],
  INTERRUPTED: ["The server stopped before this was done.", CAME],
  SPEECH_FAILED: ["Listening failed.", "Try again."],
  REQUEST_TIMEOUT: ["The file came too slowly.", "Try again, or over a better connection."],
  UPSTREAM_FAILED: ["The site did not hand out all of it.", CAME],
  UPSTREAM_TIMEOUT: ["The site is too slow just now.", "Try again."],
  UPSTREAM_RATE_LIMITED: ["The site wants a pause.", "Try again in a while."],
  IP_BLOCKED: ["The site does not let this server in.", "Try again later; the operator may know a way."],
  PROXY_ERROR: ["The server’s way to the site is broken.", "Its operator can tell why."],
  EXTRACTION_FAILED: ["The site’s page was not understood.", "Try again; if it stays so, the operator may update the server."],
  CODE_UNKNOWN: ["This code is not known.", "Look whether it is spelt as you got it."],
  CODE_USED: ["This code is used up.", OTHER],
  CODE_REVOKED: ["This code was taken back.", "Use another code."],
  CODE_EXPIRED: ["This code is not good any more.", "Use another code."],
  CODE_HELD: ["This code is in use right now.", "Wait for the other file: a code is free again when that fails."],
  CREDIT_TOO_SMALL: ["This code is worth less than the file is long.", "Use one that is worth more, or a shorter file."],
  HOLD_LOST: ["The code was lost on the way.", "Nothing was charged: try again."],
  LINK_EXPIRED: ["The link to the video is too old.", "Try again to get a new one."],
  INTERNAL_ERROR: ["Something unforeseen happened in the server.", "Try again; its operator finds it by the number below."],
  Unreachable: ["The server does not answer.", "Look whether you are online, then try again."],
  Cut: ["The connection ended.", CAME],
  Malformed: ["The answer was not understood.", "Reload this page: the server may have changed."],
};
// where a key was sent
const KEYED = {
  API_KEY_INVALID: ["The server does not know this key.", "Look whether it is whole, or ask for another, then try again."],
};
const KEY = new Set(["API_KEY_INVALID", "FORBIDDEN", "QUOTA_EXCEEDED"]);

/** A failure as `{code, happened, advice, field}`; `field` is what somebody has to enter, else null. */
export function told(failure, { keyed = false } = {}) {
  const code = failure.code ?? failure.name ?? "";
  const [happened, advice] = (keyed ? KEYED : WORDS)[code] ?? WORDS[code] ?? [failure.message || "Something went wrong.", ""];
  const after = failure.retryAfterS ? `The server says: in ${failure.retryAfterS} s.` : "";
  const number = code === "INTERNAL_ERROR" && failure.requestId ? failure.requestId : "";
  return { code, happened, advice: [advice, after, number].filter(Boolean).join(" "), field: field(code) };
}

function field(code) {
  if (KEY.has(code)) return "key";
  return code.startsWith("CODE_") || code === "CREDIT_TOO_SMALL" ? "code" : null;
}
