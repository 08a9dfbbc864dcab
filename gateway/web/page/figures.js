/** Numbers as people read them. Pure. */

/** Seconds as `1:05`, or `1:02:05`. */
export function time(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const two = (number) => String(number).padStart(2, "0");
  return (hours > 0 ? `${hours}:${two(minutes)}` : `${minutes}`) + `:${two(whole % 60)}`;
}

/** Seconds as a machine reads them, for `<time>`. */
export const duration = (seconds) => `PT${Math.max(0, seconds).toFixed(1)}S`;

/** Bytes as `340 kB` or `1.2 MB`. */
export function bytes(count) {
  if (count < 1e6) return `${Math.ceil(count / 1000)} kB`;
  return `${(count / 1e6).toFixed(count < 1e8 ? 1 : 0)} MB`;
}

/** A wait in words that do not claim to be exact. */
export function wait(seconds) {
  if (seconds < 1.5) return "about a second";
  if (seconds < 90) return `about ${Math.round(seconds)} seconds`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} minutes`;
  return `about ${Math.round(seconds / 3600)} hours`;
}

/** `1 photo`, `2 photos`. */
export const many = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;
