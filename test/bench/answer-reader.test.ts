// The bench's own HTTP/1.1: it must not take a wrong answer for a right one.
import { expect, test } from 'vitest';
import { createAnswerReader } from '../../bench/load/answer-reader.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nwhole';

test('an answer in one chunk is read at once, and the next one after it', () => {
  const read = createAnswerReader();

  const answers = [read(Buffer.from(ANSWER)), read(Buffer.from(ANSWER.replace('200 OK', '503 No')))];

  expect(answers.map((answer) => answer && [answer.status, answer.body.toString()])).toEqual([
    [200, 'whole'],
    [503, 'whole'],
  ]);
});

test('an answer may come in any pieces', () => {
  for (let first = 1; first < ANSWER.length - 1; first++) {
    const read = createAnswerReader();

    expect(read(Buffer.from(ANSWER.slice(0, first)))).toBeUndefined();
    expect(read(Buffer.from(ANSWER.slice(first)))?.body.toString()).toBe('whole');
  }
});

test('an answer without a length is refused, and so is more than one answer', () => {
  expect(() => createAnswerReader()(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'))).toThrow('no content-length');
  expect(() => createAnswerReader()(Buffer.from(`${ANSWER}more`))).toThrow('more came than one answer');
});
