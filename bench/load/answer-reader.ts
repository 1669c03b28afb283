// The least of HTTP/1.1 that reads a webhook's answers: one at a time, with a content-length.

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

const END_OF_HEADERS = Buffer.from('\r\n\r\n');

/** Takes the bytes of one connection as they come; gives the answer with the chunk that completes it. */
export function createAnswerReader(): (chunk: Buffer) => Answer | undefined {
  let received: Buffer | undefined;
  let headers: { readonly status: number; readonly bodyAt: number; readonly endsAt: number } | undefined;

  return (chunk) => {
    received = received ? Buffer.concat([received, chunk]) : chunk;
    headers ??= readHeaders(received);
    if (!headers || received.length < headers.endsAt) return undefined;
    const { status, bodyAt, endsAt } = headers;
    if (received.length > endsAt) throw new Error('more came than one answer');
    const body = received.subarray(bodyAt);
    received = headers = undefined;
    return { status, body };
  };
}

function readHeaders(received: Buffer) {
  const end = received.indexOf(END_OF_HEADERS);
  if (end === -1) return undefined;
  const text = received.toString('latin1', 0, end);
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1];
  const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
  if (status === undefined || length === undefined)
    throw new Error('the answer has no status or no content-length');
  const bodyAt = end + END_OF_HEADERS.length;
  return { status: Number(status), bodyAt, endsAt: bodyAt + Number(length) };
}
