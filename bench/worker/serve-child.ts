// `serve --role worker` in a process whose garbage can be collected on demand: `serve-child.ts <kubeconfig> <config>`, with
// node --expose-gc.
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '../../src/cli/serve.ts';
import { answerParent } from '../child-process.ts';

const [kubeconfig = '', config = ''] = process.argv.slice(2);
const SETTLE_MS = 5_000;
let printed = '';
void serve(
  {
    role: 'worker',
    kubeconfig,
    config,
    namespace: 'keyless-pull',
    host: '127.0.0.1',
    port: 0,
    metricsPort: 0,
    logLevel: 'info',
  },
  {
    out: (line) => (printed += line),
    err: (line) => void process.stderr.write(line),
    readStdin: () => Promise.resolve(''),
    signal: new AbortController().signal,
    isTerminal: false,
  },
);

/** Resident bytes when it has led for some looks, and the garbage is gone. */
answerParent(async () => {
  while (!printed.includes('"leading"')) await sleep(50);
  await sleep(SETTLE_MS);
  for (let nth = 0; nth < 4; nth++) {
    globalThis.gc?.();
    await sleep(100);
  }
  return process.memoryUsage.rss();
});
