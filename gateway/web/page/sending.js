/**
 * A `fetch` for the client that tells how much of a file has been sent, which `fetch` itself does not.
 *
 * Only what has a file for its body goes this way; all else is left to `fetch`.
 */
export function sending(told) {
  return (url, init) => (init.body instanceof Blob ? sent(url, init, told) : fetch(url, init));
}

function sent(url, { method, headers, body, signal }, told) {
  return new Promise((answered, failed) => {
    const request = new XMLHttpRequest();
    let stream = null; // of the answer's body, once its head is here
    let taken = 0; // letters of it that were handed on
    const encoder = new TextEncoder();
    const leave = () => request.abort();
    const over = (how) => {
      signal?.removeEventListener("abort", leave);
      how();
    };
    const hand = () => {
      if (request.responseText.length === taken) return;
      stream.enqueue(encoder.encode(request.responseText.slice(taken)));
      taken = request.responseText.length;
    };
    const lost = () => {
      const failure = signal?.aborted ? signal.reason : new TypeError("the connection is lost");
      if (stream !== null) stream.error(failure);
      else failed(failure);
    };
    request.upload.addEventListener("progress", ({ loaded }) => told(loaded, body.size));
    request.addEventListener("readystatechange", () => {
      if (request.readyState !== XMLHttpRequest.HEADERS_RECEIVED) return;
      const start = (controller) => {
        stream = controller;
      };
      answered(
        new Response(new ReadableStream({ start, cancel: leave }), {
          status: request.status,
          headers: request.getAllResponseHeaders().trim().split(/[\r\n]+/).map(named),
        }),
      );
    });
    request.addEventListener("progress", hand);
    request.addEventListener("load", () => over(() => (hand(), stream.close())));
    request.addEventListener("error", () => over(lost));
    request.addEventListener("abort", () => over(lost));
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    signal?.addEventListener("abort", leave);
    request.send(body);
  });
}

function named(line) {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).trim()];
}
