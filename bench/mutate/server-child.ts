// What all three servers have in common: the files they read, and what their parent asks them.
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import type { ServerOptions } from 'node:https';
import { answerParent } from '../child-process.ts';

export type ServerQuestion = 'port' | 'usage';

/** Resident memory, and processor time since the process began. */
export interface Usage {
  readonly residentBytes: number;
  readonly processorMicros: number;
}

/** Names of the files in the folder that every server is given as its one argument. */
export const FILES = {
  certificate: 'server.crt',
  key: 'server.key',
  authority: 'authority.crt',
  config: 'config.yaml',
  answer: 'answer.json',
} as const;

/** The whole path of one of them, in a server's process. */
export function fileOf(name: keyof typeof FILES): string {
  return `${process.argv[2]}/${FILES[name]}`;
}

export function answerAsServer(port: number): void {
  answerParent<ServerQuestion>(async (question) => {
    switch (question) {
      case 'port':
        return port;
      case 'usage': {
        const { user, system } = process.cpuUsage();
        return { residentBytes: process.memoryUsage.rss(), processorMicros: user + system } satisfies Usage;
      }
    }
  });
}

/** Certificate and timeouts as src/server/https-server.ts has them, so that TLS and headers cost the same. */
export function serverOptions(): ServerOptions {
  return {
    cert: readFileSync(fileOf('certificate')),
    key: readFileSync(fileOf('key')),
    minVersion: 'TLSv1.2',
    keepAliveTimeout: 95_000,
    requestTimeout: 15_000,
    headersTimeout: 15_000,
    connectionsCheckingInterval: 5_000,
    handshakeTimeout: 10_000,
  };
}

/** The answer of the measured webhook, around the uid of its review. */
export interface AnswerTemplate {
  readonly before: string;
  readonly after: string;
}

/** Parses a review and answers the webhook's own bytes with its uid: the least that a server of this protocol can do. */
export function createSameAnswer(): (body: Buffer, response: ServerResponse) => void {
  const { before, after }: AnswerTemplate = JSON.parse(readFileSync(fileOf('answer'), 'utf8'));
  return (body, response) => {
    const { request } = JSON.parse(body.toString('utf8'));
    const text = before + request.uid + after;
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    });
    response.end(text);
  };
}
