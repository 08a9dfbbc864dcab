// What callers write must pass the compiler, and what they must not write must not.
import { Clipwire, Cut, GatewayError, type Part, type Segment, type TranscriptEvent } from "clipwire-client";

export async function uses(file: Blob, signal: AbortSignal): Promise<number> {
  const client = new Clipwire("", { key: "k", secret: "s", stallS: 5, tries: 1 });
  const download = client.download(["a", new URL("https://localhost/")], {
    mode: "ORIGINAL",
    quality: "720p",
    signal,
  });
  const { title }: { title: string } = await download.head();
  let size = title.length;
  for await (const part of download) {
    const one: Part = part;
    size += one.length ?? one.range?.end ?? 0;
    for await (const chunk of part) size += chunk.byteLength;
    await part.stream().pipeTo(new WritableStream<Uint8Array>());
  }
  const said: Segment[] = [];
  for await (const event of client.transcribe(file, { language: "en", words: true, signal })) {
    const one: TranscriptEvent = event;
    if (one.type === "segment") said.push(one);
    else if (one.type === "end") size += one.segments;
  }
  for await (const event of client.follow("3f", { after: 3 }))
    if (event.type === "progress") size += event.position;
  const begun: { id: string } = await client.begin("a", { language: "en", webhook: "https://localhost/" });
  size += begun.id.length;
  const { text } = await client.submit(file, { code: "c", wait: false });
  size += text?.length ?? 0;
  const { codes } = await client.issueCodes({ count: 1 });
  size += codes[0]?.code.length ?? 0;
  const signature: string = (await client.sign("{}"))["X-Signature"];
  try {
    await client.file("3f", "srt");
  } catch (failure) {
    if (failure instanceof GatewayError) size += failure.retryAfterS ?? 0;
    else if (!(failure instanceof Cut)) throw failure;
  }
  // @ts-expect-error: there is no such form
  await client.file("3f", "docx");
  // @ts-expect-error: a code is needed
  await client.submit(file, {});
  // @ts-expect-error: parts are not made by callers
  new Part();
  return size + said.length + signature.length;
}
