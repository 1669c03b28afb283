// Express set up as lean as ours (no headers of its own, raw body, writeHead with a length), doing nothing but parse and
// answer.
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { answerAsServer, createSameAnswer, serverOptions } from './server-child.ts';

const answer = createSameAnswer();
const app = express();
app.disable('x-powered-by').disable('etag').set('query parser', 'simple');
app.use(express.raw({ type: () => true, limit: 7 * 1024 * 1024, inflate: false }));
app.post('/mutate', (request, response) => answer(request.body, response));
const server = createServer(serverOptions(), app);
server.listen(0, '127.0.0.1');
await once(server, 'listening');
answerAsServer((server.address() as AddressInfo).port); // a string only for pipes
