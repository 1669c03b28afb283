// Ports for parts that must know their address before they start.
import { createServer } from 'node:net';

// Below 32768, where Linux never takes ports for outgoing connections; above what well-known services use.
const LOWEST_PORT = 20_000;
const HIGHEST_PORT = 31_999;

// A port handed out is free until its part listens, so the same process must not hand it out twice.
const handedOut = new Set<number>();

/** `count` different ports between 20000 and 31999 on which 127.0.0.1 accepted a listener a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let attempts = 0; ports.length < count; attempts += 1) {
    if (attempts > 1000 + count * 10) throw new Error(`no ${count} free ports between 20000 and 31999`);
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT + 1));
    if (handedOut.has(port) || !(await isFree(port))) continue;
    handedOut.add(port);
    ports.push(port);
  }
  return ports;
}

/** One free port; see `freePorts`. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error('no free port');
  return port;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
