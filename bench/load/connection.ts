// One keep-alive connection as an API server has it: HTTP/1.1 over TLS, one review at a time. Written by hand, for a
// client that is slower than the server would measure itself.
import { once } from 'node:events';
import { connect } from 'node:tls';
import { createAnswerReader, type Answer } from './answer-reader.ts';
import { reviewText } from '../mutate/review.ts';

export interface Target {
  readonly port: number;
  /** PEM of the authority that the server's certificate is verified with. */
  readonly authority: string;
}

/** `uid` is the review's that was sent. */
export interface Exchange {
  readonly uid: string;
  readonly answer: Answer | Error;
}

export interface Connection {
  /** Must not be called before the answer to the last one. A connection that failed goes on failing. */
  send(onAnswer: (exchange: Exchange) => void): void;
  close(): void;
}

/** Only the last digits change, so that a request is written once and its uid stamped into it. */
const UID_PREFIX = '6e3c9a10-52f4-4f0b-8d57-';
const UID_DIGITS = 12;

export async function openConnection({ port, authority }: Target, number: number): Promise<Connection> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: authority });
  await once(socket, 'secureConnect');
  socket.setNoDelay(true);
  const { request, stamp } = createRequest(port);
  const read = createAnswerReader();
  let sent = number * 1_000_000_000;
  let failure: Error | undefined;
  let waiting: { readonly uid: string; readonly onAnswer: (exchange: Exchange) => void } | undefined;

  const finish = (answer: Answer | Error) => {
    const done = waiting;
    waiting = undefined;
    done?.onAnswer({ uid: done.uid, answer });
  };
  const fail = (error: Error) => {
    failure ??= error;
    socket.destroy();
    finish(failure);
  };
  socket.on('data', (chunk) => {
    try {
      const answer = read(chunk);
      if (answer) finish(answer);
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)));
    }
  });
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the server closed the connection')));

  return {
    send(onAnswer) {
      const uid = stamp(++sent);
      waiting = { uid, onAnswer };
      if (failure) setImmediate(finish, failure);
      else socket.write(request);
    },
    close: () => void socket.destroy(),
  };
}

/** Headers as kube-apiserver sends them. */
function createRequest(port: number): { request: Buffer; stamp: (number: number) => string } {
  const body = reviewText(UID_PREFIX + '0'.repeat(UID_DIGITS));
  const request = Buffer.from(
    [
      'POST /mutate?timeout=10s HTTP/1.1',
      `Host: localhost:${port}`,
      'User-Agent: kube-apiserver-admission',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Accept: application/json, */*',
      'Content-Type: application/json',
      'Accept-Encoding: gzip',
      '',
      body,
    ].join('\r\n'),
  );
  const digitsAt = request.indexOf(UID_PREFIX) + UID_PREFIX.length;
  return {
    request,
    stamp(number) {
      const digits = String(number).padStart(UID_DIGITS, '0');
      request.write(digits, digitsAt, 'latin1');
      return UID_PREFIX + digits;
    },
  };
}
