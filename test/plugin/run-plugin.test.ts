// The plugin's contract in this process.
import { systemClock } from '../../src/clock.ts';
import { runPlugin } from '../../src/plugin/run-plugin.ts';
import { createExchange } from '../../src/registry/exchange.ts';
import { createHttpCall } from '../../src/registry/http-call.ts';
import { pluginContract } from './contract.ts';

pluginContract('as a function', async (words, stdin) => {
  const said = { out: '', err: '' };
  const code = await runPlugin(words, {
    readStdin: async (most) => (Buffer.byteLength(stdin) > most ? undefined : stdin),
    out: (text) => (said.out += text),
    err: (text) => (said.err += text),
    clock: systemClock,
    exchange: createExchange({ http: createHttpCall() }),
  });
  return { code, ...said };
});
