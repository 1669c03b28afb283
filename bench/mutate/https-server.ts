// The floor: node:https with nothing on it that collects, parses and answers.
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { answerAsServer, createSameAnswer, serverOptions } from './server-child.ts';

const answer = createSameAnswer();
const server = createServer(serverOptions(), (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => answer(Buffer.concat(chunks), response));
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
answerAsServer((server.address() as AddressInfo).port); // a string only for pipes
